"""JSONL files: odd ones give the right rows, and broken ones are refused in one message that names the line."""

import json
import os
import random
from pathlib import Path

import pytest

from orchard import jsonl
from orchard.errors import UserError
from tests.helpers.messages import assert_one_message

ROW = {"id": "a"}
GOOD = {  # the content of a file, and its rows
    "a mark of byte order": (b'\xef\xbb\xbf{"id": "a"}\n', [ROW]),
    "blank lines": (b'\n{"id": "a"}\n \n\n{"id": "a"}\n\n', [ROW, ROW]),
    "Windows' line ends": (b'{"id": "a"}\r\n{"id": "a"}\r\n', [ROW, ROW]),
    "no line feed at the end": (b'{"id": "a"}', [ROW]),
    "separators of lines and paragraphs in a text": (
        '{"id": "a\u2028b\u2029c"}\n'.encode(),
        [{"id": "a\u2028b\u2029c"}],
    ),
    "a next-line sign and a form feed escape": ('{"id": "a\x85b\\f"}'.encode(), [{"id": "a\x85b\f"}]),
    "both halves of a character": (b'{"id": "\\ud83c\\udf4e"}', [{"id": "\U0001f34e"}]),
    "a large integer": (b'{"n": 9007199254740993}', [{"n": 9007199254740993}]),
}
BAD = {  # the content, and the words of its message
    "nothing": (b"", ["no rows"]),
    "blank lines alone": (b"\n \n", ["no rows"]),
    "a cut line": (b'{"id": 1}\n{"id": 2', ["line 2"]),
    "a cut line behind a blank one": (b'{"id": 1}\n\n{"id": 2', ["line 3"]),
    "a list": (b"[1]\n", ["not an object"]),
    "two objects in a line": (b'{"id": 1} {"id": 2}', ["line 1", "Extra data"]),
    "Latin-1": ('{"id": "é"}\n'.encode("latin-1"), ["line 1", "0xe9", "no UTF-8", "iconv -f Latin-1"]),
    "UTF-16": ('{"id": 1}\n'.encode("utf-16"), ["0xff", "UTF-16"]),
    "UTF-16 without a mark": ('{"id": 1}\n'.encode("utf-16-le"), ["line 1"]),
    "half a character": (b'{"id": "\\uD800"}', ["line 1", "half a character"]),
    "half a character in a key": (b'{"\\udfff": 1}', ["half a character"]),
    "deep lists": (b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ["nested too deeply"]),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ["nested too deeply"]),
    "a key twice": (b'{"id": 1}\n{"id": 1, "id": 2}', ["line 2", "'id' twice"]),
    "a key twice within": (b'{"a": {"b": 1, "b": 1}}', ["'b' twice"]),
    "no number": (b'{"n": NaN}', ["NaN"]),
    "infinity": (b'{"n": -Infinity}', ["-Infinity"]),
    "a fraction beyond all": (b'{"n": 1e999}', ["too large"]),
    "an integer of 5000 digits": (b'{"n": ' + b"9" * 5000 + b"}", ["line 1"]),
    "a terminal's control signs": (b'{"id": "\x1b[2J"', ["line 1", "\\x1b[2J"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", GOOD)
def test_odd_files_give_their_rows(name, folder):
    content, expected = GOOD[name]
    Path("items.jsonl").write_bytes(content)
    assert jsonl.read("items.jsonl") == expected


@pytest.mark.parametrize("name", BAD)
def test_broken_files_are_refused(name, folder):
    content, expected = BAD[name]
    Path("items.jsonl").write_bytes(content)
    with pytest.raises(UserError) as error:
        jsonl.read("items.jsonl")
    assert_one_message(str(error.value), ["items.jsonl", *expected])


NO_FILES = {
    "items.jsonl": "no file items.jsonl",
    "/dev/zero": "which is no file",
    ".": "which is no file",
    "pipe": "which is no file",
    "a" * 5000: "no file aaa",
    "a\0b": "no file a\\x00b",
}


@pytest.mark.parametrize(("path", "expected"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(path, expected, folder):
    os.mkfifo("pipe")
    with pytest.raises(UserError) as error:
        jsonl.read(path)
    assert_one_message(str(error.value), [expected])


def test_fields_that_must_be_text(folder):
    Path("items.jsonl").write_text('{"prompt": "a"}\n{"prompt": null}\n')
    with pytest.raises(UserError, match=r"items\.jsonl, line 2.*'prompt' is None, not text"):
        jsonl.read("items.jsonl", ("prompt",))


def anything(rng: random.Random, depth: int = 0):
    """A random value of JSON, with what JSON leaves open."""
    odd = [0, 27, 34, 0x85, 0x2028, 0x1F34E] + [0xD800] * (rng.random() < 0.05)
    kinds = [None, True, rng.randint(-(10**20), 10**20), rng.random() * 10.0 ** rng.randint(-300, 300)]
    kinds += ["".join(chr(rng.choice(odd)) for _ in range(3)), float("nan") if rng.random() < 0.05 else 0.5]
    if depth < 4:
        kinds += [[anything(rng, depth + 1) for _ in range(rng.randint(0, 3))]]
        kinds += [{rng.choice(["id", "task", "a\x85", ""]): anything(rng, depth + 1) for _ in range(2)}] * 3
    return rng.choice(kinds)


def test_no_bytes_make_a_reader_fail_otherwise(folder):
    rng, read = random.Random(1), 0
    for _ in range(3000):
        lines = [json.dumps(anything(rng)).encode() for _ in range(rng.randint(0, 3))]
        content = bytearray(b"\n".join(lines))
        for _ in range(rng.choice([0, 0, 0, 1, 5]) if content else 0):
            content[rng.randrange(len(content))] = rng.randrange(256)
        Path("items.jsonl").write_bytes(content)
        try:
            rows = jsonl.read("items.jsonl")
        except UserError as error:
            str(error).encode()
        else:
            json.dumps(rows, allow_nan=False, ensure_ascii=False).encode()
            read += 1
    assert read > 100  # some are good
