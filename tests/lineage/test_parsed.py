"""What is kept of parsed texts is what the parser gives, and nothing is kept that would differ."""

import os

import pytest

from orchard import paths, yamls
from orchard.errors import UserError
from orchard.lineage import parsed


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project of DVC's, as the working folder."""
    monkeypatch.chdir(tmp_path)
    paths.DVC_SCRATCH.parent.mkdir()
    return tmp_path


def kept() -> list:
    return sorted(parsed.FOLDER.glob("*")) if parsed.FOLDER.exists() else []


TEXTS = ["a: {b: [1, 1.0, 1e-5, null, true, 'x: é']}\n", "- 1\n", "a: 010\n", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_parsed_once(text, monkeypatch):
    first = parsed.loads(text)
    monkeypatch.setattr(yamls, "loads", lambda text: pytest.fail("parsed again"))
    again = parsed.loads(text)
    assert repr(again) == repr(first)
    assert len(kept()) == 1


@pytest.mark.parametrize("text", ["a: .nan\n", "a: .inf\n", "a: 2026-11-28\n", "a: !!binary aGVsbG8=\n"])
def test_what_json_has_not_is_parsed_each_time(text):
    assert repr(parsed.loads(text)) == repr(parsed.loads(text)) == repr(yamls.loads(text))
    assert kept() == []


def test_another_text_is_another_content():
    assert parsed.loads("a: 1\n") == {"a": 1}
    assert parsed.loads("a: 2\n") == {"a": 2}


def test_half_a_file_is_no_content():
    parsed.loads("a: 1\n")
    [file] = kept()
    file.write_text('{"a"')
    assert parsed.loads("a: 1\n") == {"a": 1}
    assert file.read_text() == '{"a": 1}'


def test_what_is_no_yaml_says_so_each_time():
    for _ in range(2):
        with pytest.raises(yamls.YAMLError):
            parsed.loads("a: [\n")
    paths.CONFIG.write_text("a: [\n")
    with pytest.raises(UserError, match=paths.CONFIG.name):
        parsed.read(paths.CONFIG)


def test_nothing_is_kept_where_dvc_has_no_project_or_nothing_can_be_written(folder):
    paths.DVC_SCRATCH.parent.rmdir()
    assert parsed.loads("a: 1\n") == {"a": 1}
    assert os.listdir(folder) == []
    paths.DVC_SCRATCH.parent.touch()
    assert parsed.loads("a: 1\n") == {"a": 1}


def test_old_texts_are_forgotten_and_new_ones_are_not():
    texts = [f"a: {number}\n" for number in range(2 * 3 + parsed.SPARE + 1)]
    for text in texts[:-1]:
        parsed.loads(text)
    parsed.forget_others(texts[:3])
    assert len(kept()) == len(texts) - 1
    parsed.loads(texts[-1])
    parsed.forget_others(texts[:3])
    assert len(kept()) == 3
