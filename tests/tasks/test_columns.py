"""Columns of any data set: dotted names, filters, and items by a map."""

import pytest
from pydantic import ValidationError

from orchard.errors import UserError
from orchard.study.schema.data import Bounds, Columns, Ingest
from orchard.tasks import columns, formats
from orchard.tasks.columns import Where
from tests.helpers.judging import judge

ROW = {
    "key": "p-1",
    "kind": "math",
    "score": 0.5,
    "a.b": {"c": "dotted"},
    "a": {"b": {"c": "not reached"}, "d": [1, {"e": "deep"}]},
    "info": '{"truth": "{\\"inner\\": [14, 15]}", "none": null}',
    "turns": [{"role": "user", "content": "What is 7 + 7?"}, {"role": "assistant", "content": "It is \\boxed{14}."}],
}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("key", "p-1"),
        ("a.b.c", "dotted"),
        ("a.d.0", 1),
        ("a.d.1.e", "deep"),
        ("a.d.-1.e", "deep"),
        ("a.d.2", None),
        ("a.x", None),
        ("key.0", ValueError),  # a text that is no JSON
        ("info.truth.inner.1", 15),
        ("info.none", None),
        ("info.none.x", None),
        ("turns.-1.content", "It is \\boxed{14}."),
        ("score.x", None),
    ],
)
def test_a_column_leads_into_objects_lists_and_json(column, expected):
    if expected is ValueError:
        with pytest.raises(ValueError, match="no JSON"):
            columns.value(ROW, column)
    else:
        assert columns.value(ROW, column) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"kind": "math"}, True),
        ({"kind": ["code", "math"]}, True),
        ({"kind": "Math"}, False),
        ({"kind": "math", "score": 1}, False),
        ({"score": Bounds(at_least=0.5)}, True),
        ({"score": Bounds(at_most=0.4)}, False),
        ({"kind": Bounds(at_least=0)}, False),
        ({"info.none": None}, True),
        ({"info.truth": None}, False),
        ({"info.truth.inner.0": 14}, True),
        ({"info.truth.inner.0": "14"}, False),
        ({"a.d.0": True}, False),
    ],
)
def test_a_filter_compares_exactly(where, expected):
    assert Where(where).fits(ROW) is expected


def test_a_filter_on_a_column_that_no_row_has_is_refused():
    where = Where({"kidn": None})
    assert where.fits(ROW)
    with pytest.raises(UserError, match="did you mean 'kind'"):
        where.refuse_unseen("rows.jsonl", ROW)


def mapped(row: dict, judged_as: str | None = "math", **by: str) -> dict:
    return formats.item("columns", row, "rows", 3, formats.Map(Columns(**by), judged_as))


def test_a_map_makes_an_item():
    item = mapped(ROW, id="key", messages="turns", answer="info.truth.inner.0")
    assert item == {
        "id": "p-1",
        "task": "math",
        "messages": [{"role": "user", "content": "What is 7 + 7?"}],
        "response": "It is \\boxed{14}.",
        "answer": "14",
    }
    assert judge(item, item["response"]).right
    assert not judge(item, "\\boxed{15}").right
    assert mapped(ROW, prompt="turns.0.content", answer="a.d.0")["id"] == "columns-rows-00003"
    assert mapped(ROW, None, task="kind", prompt="key", answer="key")["task"] == "math"


@pytest.mark.parametrize("label", [1, "B", "two"])
def test_a_choice_is_named_by_place_letter_or_text(label):
    row = {"q": "Which?", "o": {"text": ["one", "two", "three"]}, "l": label}
    item = mapped(row, "own", prompt="q", choices="o.text", label="l")
    assert (item["choices"][item["label"]], item["answer"]) == ("two", "two")


def test_a_program_is_mapped_with_its_tests():
    row = {
        "q": "Add.",
        "code": "def add(a, b):\n    return a + b",
        "tests": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
    }
    item = mapped(row, "program", prompt="q", answer="code", tests="tests")
    assert (item["entry_point"], item["begun"]) == ("add", False)
    assert mapped(row | {"q": "def add(a, b):\n"}, "program", prompt="q", answer="code", tests="tests")["begun"]


BAD = {
    "a column that is not there": ({"prompt": "kye"}, "column 'kye' for prompt is not there, or null; there are key"),
    "a list as a prompt": ({"prompt": "turns"}, "map a list of turns to messages"),
    "a number as a prompt": ({"prompt": "score"}, "is 0.5, not text"),
    "a truth value as an answer": ({"prompt": "key", "answer": "yes"}, "is True, not text"),
    "text as messages": ({"messages": "key"}, "no JSON"),
    "an object as messages": ({"messages": "a"}, "not a list"),
    "choices that are numbers": ({"choices": "a.d", "label": "a.d.0"}, "no list of texts"),
    "a game": ({"prompt": "key", "task": "game"}, "generated here"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_item_can_be_made_of_is_refused(name):
    by, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        mapped(ROW | {"yes": True, "game": "gym-dice"}, None if "task" in by else "math", **by)


@pytest.mark.parametrize("label", [3, -1, True, 1.0, "D", "b", None, [0]])
def test_a_label_that_names_no_choice_is_refused(label):
    row = {"q": "Which?", "o": ["one", "two", "three"], "l": label}
    with pytest.raises(ValueError, match="label"):
        mapped(row, "own", prompt="q", choices="o", label="l")


SET = {"role": "eval", "path": "rows.jsonl", "format": "columns", "task": "math"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "columns is there if and only if"),
        ({"format": "math", "columns": {"prompt": "a"}}, "columns is there if and only if"),
        ({"format": "math"}, "only format columns has a task"),
        ({"columns": {"prompt": "a", "task": "b"}}, "one of them says the task"),
        ({"columns": {"prompt": "a"}, "task": None}, "one of them says the task"),
        ({"columns": {"prompt": "a", "messages": "b"}}, "it maps prompt or messages"),
        ({"columns": {"answer": "a"}}, "it maps prompt or messages"),
        ({"columns": {"prompt": "a", "choices": "b"}}, "choices and label come together"),
    ],
)
def test_a_map_that_says_too_little_or_too_much_is_refused(changes, message):
    with pytest.raises(ValidationError) as error:
        Ingest.model_validate(SET | changes)
    assert any(message in str(mistake) for each in error.value.errors() for mistake in each["ctx"]["mistakes"])


def test_every_format_of_the_schema_is_one_that_is_read():
    named = Ingest.model_json_schema()["properties"]["format"]["enum"]
    assert set(named) == {*formats.FORMATS, formats.COLUMNS, formats.ITEMS}
