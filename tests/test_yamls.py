"""YAML files: what surprises has one value, and what would grow, crash or hang is refused in one message."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from orchard import yamls
from orchard.errors import UserError
from tests.helpers.messages import assert_one_message
from tests.helpers.project import ROOT

BOMB = "a0: &a0 [lol, lol, lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
GOOD = {
    "a: 0o63": 51,
    "a: 063": 63,
    "a: 0x1f": 31,
    "a: 1:30": "1:30",
    "a: yes": "yes",
    "a: 1e-3": 0.001,
    "\ufeffa: 1": 1,
    "a: &x [1, 2]\nb: *x": [1, 2],
    "x: &x {b: 1}\na: {<<: *x, c: 2}": {"b": 1, "c": 2},
    "%YAML 1.2\n---\na: 010": 10,
}
BAD = {
    "aliases of aliases": (BOMB, ["aliases stand for more than is written"]),
    "a list in itself": ("a: 1\nloop: &l [*l]\n", ["alias l stands in its own value", "line 2, column 11"]),
    "a mapping in itself": ("a: &l\n  b: *l\n", ["alias l stands in its own value"]),
    "a list as key": ("? [a, b]\n: x\n", ["key ('a', 'b') is no text"]),
    "a mapping as key": ("? {a: b}\n: x\n", ["config.yaml"]),
    "a number as key": ("a: {1: b}", ["key 1 is no text"]),
    "true as key": ("a:\n  true: b", ["key True is no text"]),
    "deep lists": ("a: " + "[" * 900 + "]" * 900, ["more than 100 levels", "line 1"]),
    "open lists": ("[" * 900, ["more than 100 levels"]),
    "dashes in a line": ("- " * 2000 + "a", ["more than 100 levels"]),
    "two documents": ("a: 1\n---\na: 2\n", ["another document", "line 2"]),
    "another dialect": ("%YAML 1.1\n---\na: 010\n", ["another version than 1.2"]),
    "a tab": ("a:\n\tb: 1", ["line 2"]),
    "a control sign": ("a: \x1b[2J", ["#x001b"]),
    "a date that is none": ("a: 9999-99-99", ["month"]),
    "a truth that is none": ("a: !!bool maybe", ["maybe"]),
    "an object of Python": ("a: !!python/object/apply:os.system [x]", ["python/object"]),
    "an integer of 5000 digits": ("a: " + "1" * 5000, ["4300 digits"]),
    "an alias of nothing": ("a: *b", ["undefined alias"]),
    "an ordered mapping with a key twice": ("!!omap [a: 1, a: 2]", ["AssertionError"]),
}


@pytest.mark.parametrize("text", GOOD)
@pytest.mark.parametrize("kind", ["safe", "rt"])
def test_what_surprises_has_one_value(text, kind):
    assert yamls.loads(text, kind)["a"] == GOOD[text]


@pytest.mark.parametrize("name", BAD)
def test_hostile_text_is_refused(name, tmp_path):
    text, expected = BAD[name]
    file = tmp_path / "config.yaml"
    file.write_bytes(text.encode())
    with pytest.raises(UserError) as error:
        yamls.read(file)
    assert_one_message(str(error.value), ["config.yaml", *expected])


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"a: \xff\xfe", "config.yaml"), ("a: 1".encode("utf-16"), "config.yaml"), (b"\x00", "control characters")],
)
def test_bytes_that_are_no_text_are_refused(content, expected, tmp_path):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(UserError) as error:
        yamls.read(tmp_path / "config.yaml")
    assert_one_message(str(error.value), [expected])


@pytest.mark.parametrize("path", ["/dev/zero", ".", "a" * 5000, "a\0b"])
def test_what_is_no_file_is_not_opened(path):
    with pytest.raises(UserError) as error:
        yamls.read(Path(path))
    assert_one_message(str(error.value), ["no file"])


@pytest.mark.parametrize("text", ["'[' * 100_000", "'{a: ' * 100_000 + '}' * 100_000", "'- ' * 100_000"])
def test_depth_does_not_crash_the_parser(text):
    code = f"from orchard import yamls\ntry: yamls.loads({text})\nexcept yamls.YAMLError as error: print(error.problem)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "more than 100 levels\n"), done.stderr


def test_no_bytes_make_a_reader_fail_otherwise(tmp_path):
    rng, read, file = random.Random(1), 0, tmp_path / "config.yaml"
    parts = ["a", "b: ", "- ", "\n", "  ", "&x ", "*x", "!!int ", "!!set ", "? ", "[", "]", "{", "}", ", ", "'", '"']
    parts += [
        "0o7",
        "1e999",
        "2001-01-32",
        "|\n",
        ">",
        "%",
        "---\n",
        "\\ud800",
        "\t",
        "\x85",
        "#",
        "null",
        "~",
        "=",
        "<<: ",
    ]
    smoke = (ROOT / "studies/smoke.yaml").read_text(encoding="utf-8")[:600]
    for _ in range(1500):
        text = "".join(rng.choices(parts, k=rng.randint(1, 12)))
        if rng.random() < 0.3:
            place = rng.randrange(len(smoke))
            text = smoke[:place] + text + smoke[place + rng.randint(0, 5) :]
        file.write_bytes(text.encode()[: rng.choice([None, None, -1])])
        try:
            yamls.dumps(yamls.read(file)), yamls.read(file, "rt")
        except UserError as error:
            str(error).encode()
        else:
            read += 1
    assert read > 100  # some are good


@pytest.mark.parametrize(
    "text", ["https://a.b/c (d; e)", "1:30", "a: b", ":", "it's: so", "a:", "no", "# a", "{", "x, y"]
)
def test_a_text_is_read_as_it_was_written_also_within_braces(text):
    for tree in ({"a": text}, {"a": {"b": {"c": text}, "d": [text, text]}}):
        written = yamls.dumps(tree)
        assert yamls.loads(written) == tree
        assert yamls.loads(yamls.dumps(tree, one_line=True)) == tree
