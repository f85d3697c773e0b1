"""The games of reasoning-gym, where they are installed (`make games`): items, splits, verifiers, partial credit."""

import json
import os
import subprocess
import sys
import time

import pytest

from orchard.stages.rl import __main__ as rl
from orchard.tasks import games, generated
from tests.helpers.judging import ODD, judge

pytest.importorskip("reasoning_gym", reason="games are installed by `make games`")


def test_a_games_items_follow_the_seed_in_every_process():
    sample = "generated.sample_game(3, 'eval', 4, 'knights_knaves', {'n_people': 2})"
    code = f"from orchard.tasks import generated; print({sample})"
    printed = {
        subprocess.check_output([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in "12"
    }
    assert printed == {f"{generated.sample_game(3, 'eval', 4, 'knights_knaves', {'n_people': 2})}\n".encode()}
    assert generated.sample_game(4, "eval", 4, "knights_knaves", {"n_people": 2}) != eval(printed.pop())


def test_roles_never_share_a_question():
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}  # few different ones
    sets = {
        role: generated.sample_game(1, role, 25, "chain_sum", options) for role in ("eval", "calibration", "prompts")
    }
    prompts = {role: {item["prompt"] for item in rows} for role, rows in sets.items()}
    assert all(len(prompts[role]) == len(sets[role]) > 5 for role in sets)
    assert not prompts["eval"] & prompts["calibration"]
    assert not (prompts["eval"] | prompts["calibration"]) & prompts["prompts"]


def test_options_reach_the_game():
    (item,) = generated.sample_game(1, "prompts", 1, "chain_sum", {"min_terms": 7, "max_terms": 7})
    assert len(item["prompt"].partition("\n")[0].replace("-", "+").split("+")) == 7


@pytest.mark.parametrize("game", ["chain_sum", "sudoku", "knights_knaves", "tower_of_hanoi", "letter_jumble", "maze"])
def test_a_games_own_answer_is_right_and_an_odd_response_wrong(game):
    (item,) = generated.sample_game(1, "prompts", 1, game, {})
    assert item["task"] == f"gym-{game}"
    assert judge(item, f"First <answer>no</answer>, but then {item['answer']}.").right
    for response in [*ODD, *(f"<answer>{odd}</answer>" for odd in ODD), f"{item['answer']} <answer>no</answer>"]:
        judgement = judge(item, response)
        assert judgement.right is False
        assert 0 <= judgement.score < 1


def test_a_question_that_its_own_answer_does_not_solve_is_passed_over(monkeypatch):
    rows = generated.sample_game(1, "prompts", 20, "tower_of_hanoi", {})
    monkeypatch.setattr(games, "LONGEST_ANSWER", 400)
    short = generated.sample_game(1, "prompts", 20, "tower_of_hanoi", {})
    assert {len(item["answer"]) > 500 for item in rows} == {True, False}
    assert all(len(item["answer"]) < 500 and judge(item, item["answer"]).right for item in short)


def test_a_scorer_that_stumbles_gives_nothing():
    (item,) = generated.sample_game(1, "prompts", 1, "prime_factorization", {})  # its scorer raises a ValueError
    assert judge(item, "<answer>two times three</answer>").score == 0
    assert judge(item, item["answer"]).right


def test_games_that_do_not_fit_are_not_offered():
    known = games.games()
    assert {"chain_sum", "sudoku"} <= set(known)
    assert not {"countdown", "composite", "word_ladder"} & set(known)
    assert "Python code" in games.why_unfit("countdown")
    assert "min_terms" in known["chain_sum"]
    assert not {"seed", "size"} & set(known["chain_sum"])


def test_partial_credit_is_the_games_own_score():
    (item,) = generated.sample_game(1, "prompts", 1, "sudoku", {})
    row, solution = json.dumps(item), item["answer"]
    spoilt = solution[::-1].replace("1", "2", 1)[::-1]
    arguments = {"completions": [solution, spoilt, "no idea"], "item": [row] * 3}
    right, partly, wrong = rl.partial_credit(**arguments)
    assert (right, wrong) == (1.0, 0.0)
    assert 0 < partly < 1
    assert rl.right_or_wrong(**arguments) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "response",
    [
        "<answer> 1 </answer>",
        "<answer>1</answer> or <answer>2\n</answer>",
        "<answer>1<answer>2</answer></answer>",
        "<answer>1</answer><answer>2",
        "</answer><answer>1",
        "<answer></answer>",
        "",
    ],
)
def test_an_answer_is_read_as_the_library_reads_it(response):
    from reasoning_gym.utils import extract_answer

    assert games.answer_of(response) == extract_answer(response)


def test_an_answer_is_read_in_no_time():
    start = time.monotonic()
    assert games.answer_of("<answer>" * 20_000) is None
    assert games.answer_of("<answer>" * 20_000 + "</answer>")
    assert time.monotonic() - start < 1
