"""RL: its reward, and what its record says."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from orchard import jsonl
from orchard.models import folders, training
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.rl import __main__ as rl
from orchard.study.schema.rl import Recipe
from orchard.tasks import registry
from tests.helpers.llama import random_llama

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
        '{"kl_coefficient":0.0,"learning_rate":0.01,"max_new_tokens":6,"partial_credit":false,"prompts":"prompts.jsonl",'
        '"prompts_per_step":2,"samples_per_prompt":4,"save_steps":100,"schedule":"constant","seed":1,"steps":3,'
        '"temperature":1.0}'
    )
    assert rl.recipe_hash(RECIPE) == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_course_of_rl_keeps_what_the_report_draws_and_no_time():
    logged = {"step": 1, "reward": 0.25, "entropy": 1.5, "completions/mean_length": 31.0, "kl": 0.01}
    expected = {"step": 1, "reward": 0.25, "entropy": 1.5, "length": 31.0, "kl": 0.01}
    history = [logged | {"step_time": 0.1, "num_tokens": 9.0}, {"train_runtime": 2.0}]
    assert training.curve(history, "reward") == [logged]
    assert rl.course([logged | {"learning_rate": 1e-3}]) == [expected]


@pytest.mark.parametrize(("partial_credit", "reward"), [(True, rl.partial_credit), (False, rl.right_or_wrong)])
def test_the_recipe_says_whether_credit_is_partial(partial_credit, reward, project, monkeypatch):
    given = {}
    monkeypatch.setattr(rl, "GRPOTrainer", lambda **arguments: given.update(arguments))
    recipe = RECIPE.model_copy(update={"partial_credit": partial_credit})
    rl.make_trainer(recipe, 1, None, None, Path("state"), "rl@test")
    assert given["reward_funcs"] is reward


def test_measuring_the_kl_from_the_start_leaves_the_weights_as_they_would_be(project, monkeypatch):
    def learn(state: str) -> tuple[dict, list[dict]]:
        start, tokenizer = folders.load_model("start"), folders.load_tokenizer("start")
        trainer = rl.make_trainer(RECIPE, 1, start, tokenizer, Path(state), "rl@test")
        trainer.train()
        return trainer.model.state_dict(), training.curve(trainer.state.log_history, "reward")

    monkeypatch.setattr(rl, "right_or_wrong", lambda completions, **_: [float(len(text) % 2) for text in completions])
    folders.save(random_llama(), make_tokenizer(), Path("start"))
    with_kl, steps = learn("with")
    course = rl.course(steps)
    assert course[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert course[2]["kl"] > 1e-6
    monkeypatch.setattr(rl, "MEASURED_ONLY", 0.0)
    without, steps = learn("without")
    assert "kl" not in steps[0]
    assert all(torch.equal(with_kl[name], without[name]) for name in without)
    start = folders.load_model("start").state_dict()
    assert not torch.equal(start["model.norm.weight"], without["model.norm.weight"])
