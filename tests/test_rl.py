"""The reward of RL."""

import json

import pytest
import yaml

from orchard import rl
from orchard.tasks import items as tasks
from tests.project import ROOT


def test_the_reward_is_the_verifier_of_generated_and_ingested_items():
    items = [
        {"id": "1", "task": "calc", "prompt": "calc 9 + 4 :", "answer": "3"},
        {"id": "2", "task": "gsm8k", "prompt": "?", "answer": "work #### 18", "final": "18"},
    ]
    rows = [json.dumps(item) for item in items for _ in range(2)]
    responses = [" 9 + 4 = 3 ans 3", " ans 4", "It is 18.", "18 or 19"]
    assert rl.verified(completions=responses, item=rows, prompts=[]) == [1.0, 0.0, 1.0, 0.0]


def test_partial_credit_is_the_games_own_score():
    (item,) = tasks.sample_game(1, "prompts", 1, "sudoku", {})
    row, solution = json.dumps(item), item["answer"]
    spoilt = solution[::-1].replace("1", "2", 1)[::-1]
    arguments = {"completions": [solution, spoilt, "no idea"], "item": [row] * 3}
    right, partly, wrong = rl.partly_verified(**arguments)
    assert (right, wrong) == (1.0, 0.0)
    assert 0 < partly < 1
    assert rl.verified(**arguments) == [1.0, 0.0, 0.0]


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
