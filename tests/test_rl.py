"""RL: its reward, and what its record tells."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import yaml

from orchard.models import folders as models, training

from orchard.stages.rl import __main__ as rl
from orchard.stages.base.pretrain import make_tokenizer
from tests.llama import random_llama
from tests.project import ROOT


def test_the_reward_is_the_verifier_of_generated_and_ingested_items():
    items = [
        {"id": "1", "task": "calc", "prompt": "calc 9 + 4 :", "answer": "3"},
        {"id": "2", "task": "gsm8k", "prompt": "?", "answer": "work #### 18", "final": "18"},
    ]
    rows = [json.dumps(item) for item in items for _ in range(2)]
    responses = [" 9 + 4 = 3 ans 3", " ans 4", "It is 18.", "18 or 19"]
    assert rl.verified(completions=responses, item=rows, prompts=[]) == [1.0, 0.0, 1.0, 0.0]


def test_drift_is_the_distance_of_the_parameters_and_its_parts_make_it_up(tmp_path):
    before = random_llama(tie_word_embeddings=False)
    before.save_pretrained(tmp_path / "before")
    after = random_llama(tie_word_embeddings=False)
    with torch.no_grad():
        after.model.layers[2].mlp.up_proj.weight[0, 0] += 3.0
        after.model.layers[2].mlp.up_proj.weight[1, 0] -= 4.0
        after.model.embed_tokens.weight[0, 0] += 12.0
        after.model.norm.weight[0] += 84.0
    after.save_pretrained(tmp_path / "after")
    found = models.drift(tmp_path / "before", tmp_path / "after")
    moved = {"2": 5.0, "embedding": 12.0, "other": 84.0}
    assert found["parts"] == pytest.approx(dict.fromkeys("0123", 0.0) | moved, abs=1e-5)
    assert found["absolute"] == pytest.approx(85.0, abs=1e-5)  # 5² + 12² = 13², 13² + 84² = 85²
    norm = sum(values.double().square().sum().item() for values in before.state_dict().values()) ** 0.5
    assert found["relative"] == pytest.approx(85.0 / norm, abs=1e-6)


def test_recipes_have_one_hash_if_and_only_if_their_settings_are_equal():
    recipe = {"steps": 16, "learning_rate": 5e-4}
    assert rl.recipe_hash(recipe) == rl.recipe_hash({"learning_rate": 5e-4, "steps": 16})
    assert rl.recipe_hash(recipe) != rl.recipe_hash(recipe | {"steps": 17})
    assert rl.recipe_hash({}) == hashlib.sha256(b"{}").hexdigest()


def test_the_course_of_rl_keeps_what_the_report_draws_and_no_time():
    logged = {"step": 1, "reward": 0.25, "entropy": 1.5, "completions/mean_length": 31.0, "kl": 0.01}
    expected = {"step": 1, "reward": 0.25, "entropy": 1.5, "length": 31.0, "kl": 0.01}
    history = [logged | {"step_time": 0.1, "num_tokens": 9.0}, {"train_runtime": 2.0}]
    assert training.curve(history, "reward") == [logged]
    assert rl.course([logged | {"learning_rate": 1e-3}]) == [expected]


def test_other_tasks_know_no_partial_credit():
    item = json.dumps({"id": "1", "task": "calc", "prompt": "calc 9 + 4 :", "answer": "3"})
    assert rl.partly_verified(completions=["ans 3", "ans 4"], item=[item] * 2) == [1.0, 0.0]


@pytest.mark.parametrize(("partial_credit", "reward"), [(True, rl.partly_verified), (False, rl.verified)])
def test_the_recipe_says_whether_credit_is_partial(partial_credit, reward, tmp_path, monkeypatch):
    import trl

    given = {}
    monkeypatch.setattr(trl, "GRPOTrainer", lambda **arguments: given.update(arguments))
    recipe = yaml.safe_load((ROOT / "config.yaml").read_text())["rl"]["recipes"]["grpo"]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"id": "1", "task": "calc", "prompt": "calc 9 + 4 :", "answer": "3"}\n')
    recipe |= {"prompts": str(prompts), "partial_credit": partial_credit}
    monkeypatch.chdir(tmp_path)
    rl.make_trainer(recipe, 1, None, None, tmp_path / "state", "rl@test")
    assert given["reward_funcs"] is reward


def test_measuring_the_kl_from_the_start_leaves_the_weights_as_they_would_be(tmp_path, monkeypatch):
    def learn(folder):
        recipe = {"prompts": "prompts.jsonl", "seed": 1, "steps": 3, "prompts_per_step": 2, "samples_per_prompt": 4}
        recipe |= {"max_new_tokens": 6, "temperature": 1.0, "kl_coefficient": 0.0, "partial_credit": False}
        recipe |= {"learning_rate": 1e-2, "schedule": "constant", "save_steps": 100}
        start = models.load_model("start")
        trainer = rl.make_trainer(recipe, 1, start, models.load_tokenizer("start"), tmp_path / folder, "rl@test")
        trainer.train()
        return trainer.model.state_dict(), rl.course(training.curve(trainer.state.log_history, "reward"))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rl, "verified", lambda completions, **_: [float(len(text) % 2) for text in completions])
    models.save(random_llama(), make_tokenizer(), Path("start"))
    Path("prompts.jsonl").write_text('{"id": "1", "task": "calc", "prompt": "calc 9 + 4 :", "answer": "3"}\n' * 4)
    with_kl, course = learn("with")
    assert course[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert course[2]["kl"] > 1e-6
    monkeypatch.setattr(rl, "MEASURED_ONLY", 0.0)
    monkeypatch.setattr(rl, "course", lambda steps: steps)
    without, steps = learn("without")
    assert "kl" not in steps[0]
    assert all(torch.equal(with_kl[name], without[name]) for name in without)
    start = models.load_model("start").state_dict()
    assert not torch.equal(start["model.norm.weight"], without["model.norm.weight"])
