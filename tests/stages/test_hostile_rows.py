"""Rows are data: what a stranger's row may hold, what it is refused for, and that it reaches no interpreter."""

import json
from pathlib import Path

import pytest

from orchard import jsonl
from orchard.errors import UserError
from orchard.stages import ingest
from orchard.stages.evaluate import callbacks
from orchard.stages.rl import __main__ as rl
from orchard.study.schema.data import Ingest
from orchard.tasks import registry
from tests.helpers.judging import judge
from tests.helpers.messages import assert_one_message

PLAIN = {"id": "a", "task": "t", "prompt": "p", "answer": "1"}
PROGRAM = {"task": "program", "prompt": "def f():\n", "begun": True, "entry_point": "f", "test": "assert f() == 1"}
ESCAPE = "__import__('pathlib').Path('escaped').write_text('x')"
QUESTION = {"name": "number_sorting", "options": {}, "seed": 1, "size": 9, "place": 0}
BAD = {  # what differs from a plain row, and the words of the message
    "a wish to be run outside the sandbox": (PROGRAM | {"unsafe": True}, ["'unsafe' is none of a row's"]),
    "a game's question": ({"task": "gym-number_sorting", "game": QUESTION}, ["gym-number_sorting", "generated here"]),
    "a program's field in another task": ({"test": "assert 1"}, ["'test' is none of a row's"]),
    "a field of nobody": ({"level": 3}, ["'level' is none of a row's"]),
    "a pattern as a name": (PROGRAM | {"entry_point": "(a+)+$"}, ["entry_point", "not the name of a function"]),
    "begun in words": (PROGRAM | {"begun": "no"}, ["'begun' is 'no', not true or false"]),
    "a program without tests": (PROGRAM | {"test": " "}, ["'test' is ' ', not text"]),
    "choices that are numbers": ({"choices": [1, None], "label": 1}, ["'choices[0]' is 1, not text"]),
    "choices that are a mapping": ({"choices": {"a": 1}, "label": 0}, ["'choices'", "not a list"]),
    "choices that are a text": ({"choices": "ab", "label": 0}, ["'choices' is 'ab', not a list"]),
    "an empty choice": ({"choices": ["a", ""], "label": 0}, ["'choices[1]' is '', not text"]),
    "no choices": ({"choices": [], "label": 0}, ["label 0 is not the index"]),
    "one choice": ({"choices": ["a"], "label": 0}, ["two or more different"]),
    "a choice twice": ({"choices": ["a", "a"], "label": 0}, ["two or more different"]),
    "a label that is a fraction": ({"choices": ["a", "b"], "label": 1.0}, ["'label' is 1.0, not a whole number"]),
    "a label that is true": ({"choices": ["a", "b"], "label": True}, ["'label' is True, not a whole number"]),
    "a label from behind": ({"choices": ["a", "b"], "label": -1}, ["label -1 is not the index"]),
    "a label without choices": ({"label": 0}, ["come together"]),
    "a number for an answer": ({"answer": 1}, ["'answer' is 1, not text"]),
    "nothing for an answer": ({"answer": None}, ["no field 'answer'"]),
    "an id with control signs": ({"id": "a\x1b[2J"}, ["'id' is 'a\\x1b[2J'"]),
    "an id without end": ({"id": "a" * 1000}, ["'id'", "at most 200"]),
    "a task that is a list": ({"task": ["t"]}, ["'task' is ['t'], not text"]),
    "a chain that is none": ({"task": "calc", "prompt": "no chain"}, ["'no chain' is none of task calc"]),
    "a chain without numbers": ({"task": "calc", "prompt": "calc :"}, ["'calc :' is none of task calc"]),
    "a fact that is none": ({"task": "fact", "prompt": "fact color"}, ["is none of task fact"]),
    "brackets that are none": ({"task": "brackets", "prompt": "close ) :"}, ["is none of task brackets"]),
    "a sum that is none": ({"task": "english-arithmetic", "prompt": "1 + ="}, ["is none of task english-arithmetic"]),
    "another answer than the task's": (
        {"task": "cmp", "prompt": "cmp 1 2 :", "answer": "more"},
        ["answer 'more' where task cmp works out 'less'"],
    ),
    "GSM8K without the final number": ({"task": "gsm8k"}, ["no field 'final'"]),
}


def ingested(rows: list[dict], form: str = "jsonl", name: str = "rows.jsonl") -> list[dict]:
    if form == "bbh":
        Path(name).write_text(json.dumps({"examples": rows}))
    else:
        jsonl.write(Path(name), rows)
    return ingest.ingest(Ingest(role="eval", path=name, format=form))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_a_hostile_row_is_refused_by_name(name):
    changes, expected = BAD[name]
    with pytest.raises(UserError) as error:
        ingested([PLAIN, PLAIN | {"id": "b"} | changes])
    assert_one_message(str(error.value), ["rows.jsonl, line 2", *expected])
    stamped = PLAIN | changes | {"task_code": "0" * 16}
    jsonl.write(Path("data.jsonl"), [stamped])  # a file that a stage reads as it is
    with pytest.raises(UserError) as error:
        registry.read("data.jsonl")
    assert_one_message(str(error.value), ["data.jsonl, line 1"])


OTHER_FORMATS = {
    "BIG-Bench Hard with a number": ("bbh", [{"input": "q", "target": 5}], ["example 1", "'target' is 5, not text"]),
    "BIG-Bench Hard with nothing": ("bbh", [{"input": None, "target": "x"}], ["example 1", "'input' is None"]),
    "BIG-Bench Hard with a list": ("bbh", [["q", "x"]], ["`examples`"]),
    "BIG-Bench Hard without examples": ("bbh", [], ["`examples`"]),
    "BIG-Bench Hard where examples are null": ("bbh", None, ["`examples`"]),
    "BIG-Bench Hard where examples are a number": ("bbh", 5, ["`examples`"]),
    "MBPP without tests": ("mbpp", [{"text": "t", "code": "def f(): pass", "test_list": []}], ["'test_list' is empty"]),
    "MBPP without a function": (
        "mbpp",
        [{"text": "t", "code": "x = 1", "test_list": ["x == 1"]}],
        ["calls a function"],
    ),
    "MBPP with a test that is a number": (
        "mbpp",
        [{"text": "t", "code": "c", "test_list": [1]}],
        ["'test_list[0]' is 1"],
    ),
    "HumanEval with a pattern": (
        "humaneval",
        [{"prompt": "p", "canonical_solution": "c", "test": "t", "entry_point": ".*"}],
        ["entry_point"],
    ),
    "BLiMP with one sentence twice": (
        "blimp",
        [{"sentence_good": "A.", "sentence_bad": "A.", "UID": "u"}],
        ["two or more different"],
    ),
    "MATH with a list": ("math", [{"problem": ["p"], "answer": "1"}], ["'problem' is ['p'], not text"]),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_a_broken_row_of_a_benchmark_is_refused_by_name(name):
    form, rows, expected = OTHER_FORMATS[name]
    with pytest.raises(UserError) as error:
        ingested(rows, form, "file.json" if form == "bbh" else "file.jsonl")
    assert_one_message(str(error.value), ["file.json", *expected])


def test_of_a_benchmarks_row_nothing_else_is_kept():
    (item,) = ingested(
        [{"question": "q", "answer": "#### 1", "unsafe": True, "task": "program", "final": "2"}], "gsm8k"
    )
    assert (item["task"], item["final"], set(item)) == ("gsm8k", "1", {"id", "task", "prompt", "answer", "final"})


def test_null_is_absent_and_rows_may_differ():
    rows = [
        PLAIN,
        PLAIN | {"id": "b", "final": None, "choices": None, "label": None},
        PLAIN | {"id": "c", "final": "1"},
    ]
    assert ingested(rows) == [PLAIN, PLAIN | {"id": "b"}, PLAIN | {"id": "c", "final": "1"}]


@pytest.mark.parametrize(
    "game",
    [
        {
            "name": "number_sorting",
            "entry": {"question": "?", "answer": ESCAPE, "metadata": {"direction": "ascending"}},
        },
        QUESTION,
        QUESTION | {"name": "string_insertion"},
        QUESTION | {"options": {"min_value": ESCAPE}},
        QUESTION | {"place": 10**9},
        json.dumps({"name": "number_sorting", "options": {}, "entry": {"answer": ESCAPE}}),
    ],
)
def test_a_game_scores_only_questions_that_it_makes(game):
    pytest.importorskip("reasoning_gym", reason="games are installed by `make games`")
    item = {"id": "g", "task": "gym-number_sorting", "prompt": "Question: ?", "answer": "x", "game": game}
    with pytest.raises((UserError, ValueError)):
        judge(item, f"<answer>{ESCAPE}</answer>")
    assert not Path("escaped").exists()


def test_a_game_is_read_only_where_stages_write_sets():
    item = PLAIN | {"task": "gym-number_sorting", "game": QUESTION}
    for file in ("elsewhere.jsonl", "data/fetched/x/rows.jsonl"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        jsonl.write(Path(file), [item])
        with pytest.raises(UserError) as error:
            registry.read(file)
        assert_one_message(str(error.value), ["generated here"])


def test_the_task_gets_the_same_row_from_evaluation_and_from_rl():
    rows = [
        PLAIN | {"task": "sums", "answer": "5"},
        PLAIN | {"id": "b", "task": "sums", "answer": "It is eighteen: 10 + 8 = 18.", "final": "18"},
        PLAIN | {"id": "c", "task": "math", "answer": "42", "choices": ["x", "y"], "label": 0},
    ]
    jsonl.write(Path("rows.jsonl"), registry.stamped(rows))
    documents = callbacks.load("generation", "rows.jsonl")["test"]
    items = [callbacks.item_of(document) for document in documents]
    assert items == registry.read("rows.jsonl") == registry.stamped(rows)
    responses = ["5", "It is 18.", "\\boxed{42}"]
    rewards = rl.right_or_wrong(responses, [json.dumps(item) for item in items])
    assert rewards == [1.0, 1.0, 1.0] == [float(judge(*each).right) for each in zip(items, responses, strict=True)]


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("choice", {}, "no field 'choices', which is needed here"),
        ("minimal-pair", {}, "no field 'choices', which is needed here"),
        ("generation", {"prompt": " "}, "field 'prompt' is empty"),
        ("generation", {"answer": ""}, "field 'answer' is empty"),
        ("likelihood", {"answer": ""}, "field 'answer' is empty"),
    ],
)
def test_items_that_a_task_cannot_ask_are_refused(kind, changes, expected):
    jsonl.write(Path("rows.jsonl"), registry.stamped([PLAIN | changes]))
    with pytest.raises(UserError) as error:
        callbacks.load(kind, "rows.jsonl")
    assert_one_message(str(error.value), ["rows.jsonl, line 1", expected])
