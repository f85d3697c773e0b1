"""The games of reasoning-gym, where they are installed (`make games`): items, splits, verifiers, partial credit."""

import json
import os
import subprocess
import sys

import pytest

from orchard.stages.rl import __main__ as rl
from orchard.tasks import games as gym, items
from tests.test_verifiers import ODD

pytest.importorskip("reasoning_gym", reason="games are installed by `make games`")


def test_a_games_items_follow_the_seed_in_every_process():
    code = "from orchard.tasks import items; print(items.sample_game(3, 'eval', 4, 'knights_knaves', {'n_people': 2}))"
    told = {
        subprocess.check_output([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in "12"
    }
    assert told == {f"{items.sample_game(3, 'eval', 4, 'knights_knaves', {'n_people': 2})}\n".encode()}
    assert items.sample_game(4, "eval", 4, "knights_knaves", {"n_people": 2}) != eval(told.pop())


def test_roles_never_share_a_question():
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}  # few different ones
    sets = {role: items.sample_game(1, role, 25, "chain_sum", options) for role in ("eval", "calibration", "prompts")}
    prompts = {role: {item["prompt"] for item in rows} for role, rows in sets.items()}
    assert all(len(prompts[role]) == len(sets[role]) > 5 for role in sets)
    assert not prompts["eval"] & prompts["calibration"]
    assert not (prompts["eval"] | prompts["calibration"]) & prompts["prompts"]


def test_options_reach_the_game():
    (item,) = items.sample_game(1, "prompts", 1, "chain_sum", {"min_terms": 7, "max_terms": 7})
    assert len(json.loads(item["game"])["entry"]["question"].replace("-", "+").split("+")) == 7


@pytest.mark.parametrize("game", ["chain_sum", "sudoku", "knights_knaves", "tower_of_hanoi", "letter_jumble", "maze"])
def test_a_games_own_answer_is_right_and_an_odd_response_wrong(game):
    (item,) = items.sample_game(1, "prompts", 1, game, {})
    assert item["task"] == f"gym-{game}"
    assert items.is_correct(item, f"First <answer>no</answer>, but then {item['answer']}.")
    for response in [*ODD, *(f"<answer>{odd}</answer>" for odd in ODD), f"{item['answer']} <answer>no</answer>"]:
        assert items.is_correct(item, response) is False
        assert 0 <= items.score(item, response) < 1


def test_a_question_that_its_own_answer_does_not_solve_is_passed_over(monkeypatch):
    rows = items.sample_game(1, "prompts", 20, "tower_of_hanoi", {})
    monkeypatch.setattr(gym, "LONGEST_ANSWER", 400)
    short = items.sample_game(1, "prompts", 20, "tower_of_hanoi", {})
    assert {len(item["answer"]) > 500 for item in rows} == {True, False}
    assert all(len(item["answer"]) < 500 and items.is_correct(item, item["answer"]) for item in short)


def test_a_scorer_that_stumbles_gives_nothing():
    (item,) = items.sample_game(1, "prompts", 1, "prime_factorization", {})  # its scorer raises a ValueError
    assert items.score(item, "<answer>two times three</answer>") == 0
    assert items.is_correct(item, item["answer"])


def test_games_that_do_not_fit_are_not_offered():
    known = gym.games()
    assert {"chain_sum", "sudoku"} <= set(known)
    assert not {"countdown", "composite", "word_ladder"} & set(known)
    assert "Python code" in gym.why_unfit("countdown")
    assert "min_terms" in known["chain_sum"]
    assert not {"seed", "size"} & set(known["chain_sum"])


def test_partial_credit_is_the_games_own_score():
    (item,) = items.sample_game(1, "prompts", 1, "sudoku", {})
    row, solution = json.dumps(item), item["answer"]
    spoilt = solution[::-1].replace("1", "2", 1)[::-1]
    arguments = {"completions": [solution, spoilt, "no idea"], "item": [row] * 3}
    right, partly, wrong = rl.partly_verified(**arguments)
    assert (right, wrong) == (1.0, 0.0)
    assert 0 < partly < 1
    assert rl.verified(**arguments) == [1.0, 0.0, 0.0]
