"""Sets of a study that hold the same questions: refused where a score would mean nothing, told elsewhere."""

import json
from pathlib import Path

import pytest

from orchard import yamls
from orchard.__main__ import main
from orchard.errors import UserError
from orchard.study import overlaps, params
from orchard.tasks import content
from tests.helpers.messages import assert_one_message
from tests.helpers.studies import edited

ROWS = [
    {"id": f"r-{n}", "task": "sums", "prompt": f"Question: {n} and 5?\nAnswer:", "answer": str(n + 5)}
    for n in range(40)
]


def ingest(role: str, offset: int, limit: int, path: str = "rows.jsonl") -> dict:
    return {"role": role, "path": path, "format": "jsonl", "offset": offset, "limit": limit, "seed": 1}


def study(**changes) -> str:
    """The default study, evaluated on ten rows of a file, as YAML."""
    own = {"data.ingest": {"own": ingest("eval", 0, 10)} | changes.pop("ingest", {})}
    task = {"kind": "generation", "items": "data/eval/own.jsonl", "max_new_tokens": 8}
    small = {"rl.recipes.grpo.prompts_per_step": 8}  # what a set of ten rows fills
    return yamls.dumps(edited(own | small | {"evaluate.tasks.own": task} | changes))


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """`orchard check` of a study whose rows lie in a file."""
    monkeypatch.chdir(tmp_path)
    write("rows.jsonl", ROWS)

    def checked(text: str) -> tuple[int, str]:
        Path("config.yaml").write_text(text)
        status = main(["check"])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return checked


def write(path: str, rows: list[dict]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


SEEN = {  # a set that overlaps, what reads it, and the key in the message
    "reinforcement learning": (
        "prompts",
        {"rl.recipes.grpo.prompts": "data/prompts/other.jsonl"},
        "rl.recipes.grpo.prompts",
    ),
    "supervised finetuning": (
        "prompts",
        {"behave.teacher.prompts": "data/prompts/other.jsonl"},
        "behave.teacher.prompts",
    ),
    "recovery": ("recovery", {"recover.prompts": "data/recovery/other.jsonl"}, "recover.prompts"),
    "recovery from a folder": ("recovery", {"recover.prompts": "data/recovery"}, "recover.prompts"),
    "calibration": (
        "calibration",
        {"prune.calibration.items": "data/calibration/other.jsonl"},
        "prune.calibration.items",
    ),
    "examples": (
        "eval",
        {"evaluate.tasks.own.few_shot": {"count": 10, "items": "data/eval/other.jsonl"}},
        "evaluate.tasks.own.few_shot.items",
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_questions_that_were_seen_are_not_asked(name, check):
    role, uses, key = SEEN[name]
    status, text = check(study(ingest={"other": ingest(role, 7, 10)}, **uses))
    assert status == 1
    assert_one_message(text, ["evaluate.tasks.own.items: 3 of its 10 questions", key, "and 5?"])
    assert check(study(ingest={"other": ingest(role, 10, 10)}, **uses))[0] == 0


def test_a_file_of_ones_own_is_read_too(check):
    write("mine.jsonl", [ROWS[n] | {"id": f"x-{n}", "prompt": f"  {n} AND\t5?  "} for n in range(40)])
    status, text = check(study(**{"rl.recipes.grpo.prompts": "mine.jsonl"}))
    assert status == 1
    assert_one_message(text, ["10 of its 10 questions", "rl.recipes.grpo.prompts"])


def test_sets_that_are_learnt_may_share_questions_and_it_is_told(check):
    ingested = {"one": ingest("prompts", 10, 10), "two": ingest("recovery", 15, 10)}
    uses = {"rl.recipes.grpo.prompts": "data/prompts/one.jsonl", "recover.prompts": "data/recovery/two.jsonl"}
    status, text = check(study(ingest=ingested, **uses))
    assert status == 0
    assert "note: rl.recipes.grpo.prompts and recover.prompts share questions: 5" in text


def test_what_is_yet_to_be_fetched_is_passed_over_until_it_is_there(check):
    fetched = {"kind": "hub-dataset", "repo": "a/b", "revision": "0" * 40, "split": "train"}
    text = study(
        ingest={"other": ingest("prompts", 0, 10, "data/fetched/rows/rows.jsonl")},
        **{"data.fetch": {"rows": fetched}, "rl.recipes.grpo.prompts": "data/prompts/other.jsonl"},
    )
    assert check(text)[0] == 0
    overlaps.refuse(params.read())
    Path("data/fetched/rows").mkdir(parents=True)
    write("data/fetched/rows/rows.jsonl", ROWS)
    with pytest.raises(UserError, match=r"rl\.recipes\.grpo\.prompts"):  # as the job that ingests asks
        overlaps.refuse(params.read())
    status, message = check(text)
    assert status == 1
    assert_one_message(message, ["rl.recipes.grpo.prompts"])


def test_a_broken_row_is_named_before_a_run(check):
    write("rows.jsonl", [*ROWS[:9], ROWS[9] | {"unsafe": True}])
    status, message = check(study())
    assert status == 1
    assert_one_message(message, ["rows.jsonl, line 10", "'unsafe'"])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"prompt": "Question: Two  plus\nthree?\nAnswer:"}, {"prompt": "two plus three?"}, True),
        ({"prompt": "Gru\u0308n?"}, {"prompt": "Gr\u00fcn?"}, True),
        ({"prompt": "What is x\u00b2?"}, {"prompt": "What is x2?"}, False),
        ({"prompt": ""}, {"prompt": ""}, False),
        ({"prompt": "", "choices": ["A b.", "A c."]}, {"prompt": "", "choices": ["a c.", "a b."]}, True),
        ({"prompt": "", "choices": ["A b.", "A c."]}, {"prompt": "", "choices": ["A b.", "A d."]}, False),
        ({"prompt": "Which?", "choices": ["a", "b"]}, {"prompt": "Which?", "choices": ["c", "d"]}, False),
        ({"prompt": "Which?", "choices": ["a", "b"]}, {"prompt": "Which?"}, True),
    ],
)
def test_what_is_the_same_question(one, other, expected):
    assert bool(content.shared([one], [other])) is expected
    assert bool(content.shared([other], [one])) is expected
