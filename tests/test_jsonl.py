"""JSONL files: a broken one is refused in one message that names the line."""

from pathlib import Path

import pytest

from orchard import jsonl
from orchard.errors import UserError
from tests.helpers.messages import assert_one_message


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no file items.jsonl"), ("", "no rows"), ('{"id": 1}\n{"id": 2', "line 2"), ("[1]\n", "not an object")],
)
def test_bad_jsonl(content, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("items.jsonl").write_text(content)
    with pytest.raises(UserError) as error:
        jsonl.read("items.jsonl")
    assert_one_message(str(error.value), [expected])
