"""Verifiers of what models write in English: mathematics in LaTeX, and the games of reasoning-gym."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from orchard.tasks import gym, items, limit, mathematics

ODD = ["", " \n", "\\boxed{", "\\boxed{}", "}{", "\x00", "∞ 𝟛 五 ½", "9" * 100_000, "\\boxed{" * 20_000, "(" * 20_000]
ODD += ["\\boxed{\\frac{1}{0}}", "\\boxed{9**9**9**9}", "\\frac{", "\ud800", "1 2 " * 100_000]


def math(final: str) -> dict:
    return {"id": "1", "task": "math", "prompt": "?", "answer": f"\\boxed{{{final}}}", "final": final}


# Mathematics


@pytest.mark.parametrize(
    ("final", "response", "right"),
    [
        ("\\frac{1}{2}", "so it is \\boxed{1/2}.", True),
        ("\\frac{1}{2}", "\\boxed{0.5}", True),
        ("\\frac12", "\\boxed{\\dfrac{2}{4}}", True),
        ("\\frac{1}{2}", "\\boxed{\\frac{1}{3}}", False),
        ("5", "It is $5$.", True),
        ("5", "5 is not it.\nThe answer is 6", False),
        ("5", "first \\boxed{6}, no: \\boxed{5}", True),
        ("5", "first \\boxed{5}, no: \\boxed{6}", False),
        ("\\{1, 2\\}", "\\boxed{\\{2, 1\\}}", True),
        ("\\{1, 2\\}", "\\boxed{\\{1, 3\\}}", False),
        ("1,2", "\\boxed{2,1}", True),
        ("(1,2]", "\\boxed{(1, 2]}", True),
        ("(1,2]", "\\boxed{[1, 2]}", False),
        ("(-\\infty,2)\\cup(3,\\infty)", "\\boxed{(-\\infty, 2) \\cup (3, \\infty)}", True),
        ("x^2+2x+1", "\\boxed{(x+1)^2}", True),
        ("\\left( 3, \\frac{\\pi}{2} \\right)", "\\boxed{(3, \\pi/2)}", True),
        ("\\text{Evelyn}", "\\boxed{\\text{Evelyn}}", True),
        ("90^\\circ", "\\boxed{90}", True),
    ],
)
def test_answers_in_latex_are_compared_by_value(final, response, right):
    assert items.is_correct(math(final), response) is right
    assert items.score(math(final), response) == float(right)


@pytest.mark.parametrize("response", ODD, ids=range(len(ODD)))
def test_an_odd_response_is_a_wrong_one(response):
    assert items.is_correct(math("5"), response) is False


def test_an_answer_that_takes_for_ever_is_a_wrong_one(monkeypatch):
    monkeypatch.setattr(mathematics, "SECONDS", 0.2)
    assert items.is_correct(math("5"), "\\boxed{10^{10^{10}}}") is False


def test_a_thread_gets_the_same_verdict():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(items.is_correct(math("5"), "\\boxed{5}")))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_the_time_limit_ends_with_its_block():
    with pytest.raises(limit.OutOfTimeError), limit.time_limit(0.05):
        time.sleep(5)
    with limit.time_limit(0.05):
        pass
    time.sleep(0.1)


# Games


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
