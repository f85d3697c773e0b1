"""RL: its reward, and what its record says."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
import torch

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.models import card, folders, prompts, record, training
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.rl import __main__ as rl
from orchard.study.schema.rl import Recipe, RlRun
from orchard.tasks import registry
from tests.helpers.llama import random_llama
from tests.helpers.studies import write_params
from tests.helpers.tokenizers import save_as_it_is, speller, spelling

SUM = {"id": "1", "task": "calc", "prompt": "calc 9 + 4 :", "answer": "3"}
RECIPE = Recipe(
    prompts="prompts.jsonl",
    seed=1,
    steps=3,
    prompts_per_step=2,
    samples_per_prompt=4,
    max_new_tokens=6,
    learning_rate=1e-2,
    save_steps=100,
)


@pytest.fixture
def project(tmp_path, monkeypatch) -> None:
    """A working folder with prompts."""
    monkeypatch.chdir(tmp_path)
    jsonl.write(Path("prompts.jsonl"), registry.stamped([SUM] * 4))


def test_the_reward_is_the_verifier_of_generated_and_ingested_items():
    word = {"id": "2", "task": "gsm8k", "prompt": "?", "answer": "work #### 18", "final": "18"}
    rows = [json.dumps(item) for item in (SUM, word) for _ in range(2)]
    responses = [" 9 + 4 = 3 ans 3", " ans 4", "It is 18.", "18 or 19"]
    assert rl.right_or_wrong(completions=responses, item=rows, prompts=[]) == [1.0, 0.0, 1.0, 0.0]


def test_other_tasks_know_no_partial_credit():
    assert rl.partial_credit(completions=["ans 3", "ans 4"], item=[json.dumps(SUM)] * 2) == [1.0, 0.0]


def test_recipes_have_one_hash_if_and_only_if_their_settings_are_equal():
    settings = RECIPE.model_dump()
    assert rl.recipe_hash(RECIPE) == rl.recipe_hash(Recipe(**dict(reversed(settings.items()))))
    assert rl.recipe_hash(RECIPE) != rl.recipe_hash(RECIPE.model_copy(update={"steps": 17}))
    canonical = (
        '{"accumulation":1,"clip":[0.2,0.2],"gradient_checkpointing":false,"iterations":1,"kl_coefficient":0.0,'
        '"learn_cut":true,"learning_rate":0.01,"lora":null,"loss":"dapo","max_new_tokens":6,"measure_kl":false,'
        '"optimizer":{"betas":[0.9,0.999],"epsilon":1e-08,"max_gradient_norm":1.0,"weight_decay":0.0},'
        '"partial_credit":false,"prompts":"prompts.jsonl","prompts_per_step":2,"ratio":"token",'
        '"rollout_batch_size":null,"rollouts":"static","samples_per_prompt":4,"save_steps":100,'
        '"scale_rewards":"group","schedule":"constant","seed":1,"steps":3,"temperature":1.0,"warmup_steps":0}'
    )
    assert rl.recipe_hash(RECIPE) == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_course_of_rl_keeps_what_the_report_draws_and_no_time():
    logged = {"step": 1, "reward": 0.25, "entropy": 1.5, "completions/mean_length": 31.0, "kl": 0.01}
    expected = {"step": 1, "reward": 0.25, "entropy": 1.5, "length": 31.0, "kl": 0.01}
    history = [logged | {"step_time": 0.1, "num_tokens": 9.0}, {"train_runtime": 2.0}]
    assert training.curve(history, "reward") == [logged]
    assert rl.course([logged | {"learning_rate": 1e-3}]) == [expected]
    del logged["kl"], expected["kl"]
    assert rl.course([logged]) == [expected], "where the KL was not measured"


def test_steps_on_responses_that_had_one_already_are_no_rollouts():
    sampled = {"reward": 0.5, "entropy": 1.0, "completions/mean_length": 4.0}
    steps = [
        {"step": 1, "loss": 0.1, "frac_reward_zero_std": 0.5} | sampled,
        {"step": 2, "loss": 0.1, "entropy": 1.0},
        {"step": 3, "loss": 0.1, "frac_reward_zero_std": 1.0} | sampled,
        {"step": 4, "loss": 0.1, "entropy": 1.0},
        {"step": 5, "loss": 0.1, "frac_reward_zero_std": 0.0} | sampled,
    ]
    assert rl.informative(steps, 2) == 3
    assert [row["step"] for row in rl.course(steps)] == [1, 3, 5]


@pytest.mark.parametrize(("partial_credit", "reward"), [(True, rl.partial_credit), (False, rl.right_or_wrong)])
def test_the_recipe_says_whether_credit_is_partial(partial_credit, reward, project, monkeypatch):
    given = {}
    monkeypatch.setattr(rl, "RenderingTrainer", lambda **arguments: given.update(arguments))
    recipe = RECIPE.model_copy(update={"partial_credit": partial_credit})
    rl.make_trainer(recipe, 1, random_llama(), make_tokenizer(), Path("state"), "rl@test")
    assert given["reward_funcs"] is reward


def run_of(start: str) -> RlRun:
    return RlRun(recipe="grpo", arm="nll", seed=1, draw=0, start=start, prompts=RECIPE.prompts)


def trained(model, tokenizer, start: str, rewards, monkeypatch, **changes) -> Path:
    """Runs the stage from a model that is saved as a stranger's would be; ``rewards`` gives those of completions."""
    folder = save_as_it_is(model, tokenizer, paths.model(start))
    facts = dict.fromkeys(("arm", "objective", "base", "data"), "x") | {"seed": 1, "draw": 0}
    card.finish(folder, start, "sft", {}, [], step="drawn at random", licence="mit", **facts)
    write_params({"rl.recipes.grpo": RECIPE.model_copy(update=changes).model_dump()})
    monkeypatch.setattr(rl, "right_or_wrong", rewards)
    rl.main(start, run_of(start))
    return paths.model(f"rl-{start}")


def by_length(completions: list[str], **_) -> list[float]:
    """Rewards that differ."""
    return [float(len(text) % 2) for text in completions]


def test_rollouts_are_the_policys_own_whatever_the_checkpoint_asks_for(project, monkeypatch):
    plain = trained(*speller(), "plain", by_length, monkeypatch)
    asked = {"repetition_penalty": 1.1, "no_repeat_ngram_size": 1, "suppress_tokens": list(range(4, 200)), "top_k": 2}
    asked["do_sample"] = True
    other = trained(*speller(**asked), "asking", by_length, monkeypatch)
    assert (plain / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert folders.load_model(other).generation_config.suppress_tokens is None


def test_rollouts_end_at_any_end_and_prompts_at_none(project, monkeypatch):
    seen = []

    def watch(completions, completion_ids, prompts, **_):
        seen.extend(completion_ids)
        return by_length(completions)

    model, tokenizer = speller(spelling(behind="<eos>"), ends=list(range(2, 60)))
    trained(model, tokenizer, "chat", watch, monkeypatch)
    assert any(ids[-1] in range(3, 60) for ids in seen)
    assert all(not set(ids[:-1]) & set(range(2, 60)) for ids in seen)


def test_prompts_of_a_step_are_cut_as_those_of_other_stages(project):
    model, tokenizer = speller()
    folders.save(model, tokenizer, Path("start"))  # TRL loads the start once more
    trainer = rl.make_trainer(RECIPE, 1, folders.load_model("start"), tokenizer, Path("state"), "rl@test")
    texts = ["<bos>a", "b c"]
    assert trainer._tokenize_prompts(texts)[0] == [prompts.prompt_ids(tokenizer, text) for text in texts]


def test_fewer_prompts_than_a_step_takes_are_refused(project, monkeypatch):
    with pytest.raises(UserError, match=r"has 4 prompts, while .* takes 5"):
        trained(random_llama(), make_tokenizer(), "start", by_length, monkeypatch, prompts_per_step=5)
    assert not paths.model("rl-start").exists()


def test_the_record_and_the_card_say_what_was_done(project, monkeypatch):
    folder = trained(random_llama(), make_tokenizer(), "start", by_length, monkeypatch)
    facts, said = record.read(folder), (folder / card.FILE).read_text()
    assert (facts["steps"], facts["informative_steps"]) == (3, 3)
    assert "3 steps, of which 3 had rewards that differ" in said
    folder = trained(
        random_llama(), make_tokenizer(), "still", lambda completions, **_: [0.0] * len(completions), monkeypatch
    )
    assert record.read(folder)["informative_steps"] == 0
    assert "3 steps, of which 0 had rewards that differ" in (folder / card.FILE).read_text()


def test_measuring_the_kl_from_the_start_leaves_the_weights_as_they_would_be(project, monkeypatch):
    def learn(state: str, measure_kl: bool) -> tuple[dict, list[dict]]:
        start, tokenizer = folders.load_model("start"), folders.load_tokenizer("start")
        recipe = RECIPE.model_copy(update={"measure_kl": measure_kl})
        trainer = rl.make_trainer(recipe, 1, start, tokenizer, Path(state), "rl@test")
        assert (trainer.ref_model is None) == (not measure_kl)
        trainer.train()
        return trainer.model.state_dict(), training.curve(trainer.state.log_history, "reward")

    monkeypatch.setattr(rl, "right_or_wrong", lambda completions, **_: [float(len(text) % 2) for text in completions])
    folders.save(random_llama(), make_tokenizer(), Path("start"))
    with_kl, steps = learn("with", True)
    course = rl.course(steps)
    assert course[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert course[2]["kl"] > 1e-6
    without, steps = learn("without", False)
    assert "kl" not in steps[0]
    assert all(torch.equal(with_kl[name], without[name]) for name in without)
    start = folders.load_model("start").state_dict()
    assert not torch.equal(start["model.norm.weight"], without["model.norm.weight"])


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_rollouts_by_vllm_where_there_is_none_are_refused_before_anything_is_loaded(project):
    write_params({"rl.recipes.grpo": RECIPE.model_copy(update={"rollouts": "vllm"}).model_dump()})
    with pytest.raises(UserError, match="no vLLM in this environment"):
        rl.main("nowhere", run_of("nowhere"))


def test_continuous_rollouts_of_shards_are_refused_before_anything_is_loaded(project, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    write_params({"rl.recipes.grpo": RECIPE.model_copy(update={"rollouts": "continuous"}).model_dump()})
    with pytest.raises(UserError, match="rollouts: continuous needs parallel: data"):
        rl.main("nowhere", run_of("nowhere"))
