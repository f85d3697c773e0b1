"""Logic puzzles: a solution is right in every form, and one change spoils it."""

import json
import random

import pytest

from orchard.tasks import formats, puzzles, registry, synlogic
from tests.helpers.judging import ODD, judge
from tests.helpers.puzzles import GAMES, Made, latin

SEEDS = range(20)


def row(game: str, made: Made) -> dict:
    """A puzzle as a row of SynLogic."""
    data = {"question": "Solve it.", "answer": text(made.answer), "metadata": made.metadata, "difficulty": 1}
    return {
        "data_source": f"synlogic/{game}",
        "prompt": [{"role": "user", "content": f"Solve this {game}: {json.dumps(made.metadata)}"}],
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"game_data_str": json.dumps(data), "index": 3},
    }


def text(answer) -> str:
    return answer if isinstance(answer, str) else repr(answer)


def item(game: str, made: Made) -> dict:
    return formats.item("synlogic", row(game, made), "easy", 7)


@pytest.mark.parametrize("game", GAMES)
def test_a_solution_is_right_and_one_change_spoils_it(game):
    for seed in SEEDS:
        made = GAMES[game](random.Random(seed))
        found = item(game, made)
        assert (found["id"], found["task"]) == ("synlogic-easy-00007", f"synlogic-{game}")
        assert judge(found, found["answer"]).right, made
        assert not judge(found, text(made.spoilt)).right, made


@pytest.mark.parametrize("game", GAMES)
def test_an_answer_may_stand_in_many_forms(game):
    made = GAMES[game](random.Random(1))
    found, answer, spoilt = item(game, made), text(made.answer), text(made.spoilt)
    right = [
        f"<think>Perhaps {spoilt}?</think>\n```python\n{answer}\n```",
        f"First I tried\n```\n{spoilt}\n```\nbut it is\n```python\n{answer}\n```\nas each rule (1, 2, 3) is kept.",
        f"The answer is \\boxed{{{answer}}}",
        f"I think of [1, 2] and (3, 4).\nAnswer: {answer}",
    ]
    for response in right:
        assert judge(found, response).right, response
        assert not judge(found, response.replace(answer, spoilt)).right
    for response in [*ODD, "()", "[]", "{}", "[[]]", "{'A': [[1]]}", "[['X']]", "((1,),)", "[" * 5000, "0", "[[1=1]]"]:
        judgement = judge(found, response)
        assert judgement.right is False
        assert judgement.score == 0


def test_another_solution_than_the_makers_is_right():
    grid = latin(random.Random(3), 4)
    empty = Made({"grid_size": 4, "constraints": [], "prefilled_coords": []}, grid, None)
    other = latin(random.Random(4), 4)
    assert other != grid
    assert judge(item("futoshiki", empty), repr(other)).right
    rows = ",".join(" ".join(map(str, line)) for line in other)
    assert judge(item("futoshiki", empty), f"[[{rows}]]").right


def test_what_is_given_must_be_kept():
    made = GAMES["sudoku"](random.Random(5))
    found = item("sudoku", made)
    turned = [[cell % 9 + 1 for cell in line] for line in made.answer]  # a sudoku, but another
    assert not judge(found, repr(turned)).right
    with_text = [[str(cell) for cell in line] for line in made.answer]
    assert not judge(found, repr(with_text)).right


TWENTY_FOUR = {"numbers": [4, 4, 6, 1], "operators": ["+", "-", "*", "/"], "result": 24}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("4 * 6 * 1 ** 4", False),
        ("(4 - 4 + 6 - 1)", False),
        ("4 * 6 * 1", False),  # a number is left
        ("4 * 6 + 4 * 0", False),
        ("6 * 4 * (4 / 4)", False),  # a number twice
        ("6 / (1 - 4 / 4)", False),  # no value
        ("6 * 4 / 1 * 4 / 4", False),
        ("(6 - 1) * 4 + 4", True),
        ("(6 - 1) × 4 + 4 = 24", True),
        ("__import__('os')", False),
        ("46 - 14 - 8", False),
    ],
)
def test_the_game_of_24_is_played_by_its_rules(answer, right):
    found = item("game_of_24", Made(TWENTY_FOUR, "(6 - 1) * 4 + 4", None))
    assert judge(found, f"```\n{answer}\n```").right is right


BAD = {
    "a game that is not judged": ({"data_source": "synlogic/cipher"}, "'cipher' is not judged here"),
    "no JSON": ({"extra_info": {"game_data_str": "{"}}, "extra_info.game_data_str"),
    "no metadata": ({"extra_info": {"game_data_str": '{"answer": "x"}'}}, "no field 'metadata'"),
    "other metadata": (
        {"extra_info": {"game_data_str": '{"answer": "x", "metadata": {"grid": []}}'}},
        "metadata of sudoku: no field 'original_sudoku'",
    ),
    "an endless grid": (
        {"extra_info": {"game_data_str": json.dumps({"answer": "", "metadata": {"original_sudoku": [[0]] * 51}})}},
        "at most 50",
    ),
    "a prompt that is text": ({"prompt": "Solve it."}, "not a list"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_is_no_puzzle_is_refused(name):
    changes, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        formats.item("synlogic", row("sudoku", GAMES["sudoku"](random.Random(1))) | changes, "easy", 1)


def test_a_puzzle_of_ones_own_is_checked_as_any_row():
    found = item("sudoku", GAMES["sudoku"](random.Random(1)))
    assert registry.item(found) == found
    for puzzle in ({}, found["puzzle"] | {"x": 1}, {"original_sudoku": "x"}, None):
        with pytest.raises(ValueError, match="puzzle"):
            registry.item(found | {"puzzle": puzzle})
    with pytest.raises(ValueError, match="not judged here"):
        registry.item(found | {"task": "synlogic-chess"})


def test_all_games_are_tried():
    assert set(GAMES) == set(puzzles.GAMES)
    assert len(GAMES) >= 10
    assert synlogic.TASKS["any"].tries_answers
