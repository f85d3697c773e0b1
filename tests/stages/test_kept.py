"""What a stage keeps over a kill: it goes on from what was begun with the same, and from nothing else."""

import contextlib
from pathlib import Path

import pytest

from orchard import paths
from orchard.models import record
from orchard.stages import kept, stage
from orchard.study.schema.common import Optimizer

OUTPUT, INPUT, MODULE = Path("results/x"), Path("input.txt"), "orchard.stages.mix"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    INPUT.write_text("input")


def begin(*settings) -> Path:
    """Begins, leaves something behind and is killed; returns the state's folder."""
    with contextlib.suppress(KeyboardInterrupt), kept.resumable(OUTPUT, MODULE, [INPUT], *settings) as state:
        (state / "step").write_text("half")
        raise KeyboardInterrupt
    return state


def test_resume_state_outlives_a_kill_and_goes_with_success():
    begin({"rate": 0.1})
    with stage.output(OUTPUT) as scratch, kept.resumable(OUTPUT, MODULE, [INPUT], {"rate": 0.1}) as state:
        assert (state / "step").read_text() == "half"
        scratch.write_text("whole")
    assert not (paths.RESUME / OUTPUT).exists()


CHANGES = {
    "a setting": lambda monkeypatch: None,
    "an input": lambda monkeypatch: INPUT.write_text("other"),
    "the libraries": lambda monkeypatch: monkeypatch.setattr(record, "versions", lambda: {"torch": "1.0"}),
    "the code": lambda monkeypatch: monkeypatch.setattr(kept.imports, "closure", lambda module: [INPUT]),
    "the arithmetic": lambda monkeypatch: paths.PARAMS.write_text("arithmetic: fast\n"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_goes_on_from_what_was_begun_with_something_else(what, monkeypatch, capfd):
    before = begin(Optimizer())
    CHANGES[what](monkeypatch)
    settings = Optimizer(epsilon=1e-6) if what == "a setting" else Optimizer()
    with kept.resumable(OUTPUT, MODULE, [INPUT], settings) as state:
        assert list(state.iterdir()) == []
    assert not before.exists()
    assert f"starts anew: {before}" in capfd.readouterr().out


def test_of_several_processes_one_removes_an_old_state_and_all_take_the_same(monkeypatch):
    before = begin(1)
    monkeypatch.setenv("RANK", "1")
    with kept.resumable(OUTPUT, MODULE, [INPUT], 2) as state:
        assert before.exists()
    monkeypatch.setenv("RANK", "0")
    with kept.resumable(OUTPUT, MODULE, [INPUT], 2) as again:
        assert not before.exists()
    assert state == again


def test_a_result_is_worked_out_once_and_every_bit_is_kept(tmp_path):
    times, values = [], [0.1 + 0.2, 1e-300, float("-inf"), 1, "ä\u2028", None, [True]]
    for _ in range(2):
        remember = kept.memory(tmp_path)
        assert remember(["task", 1], lambda: times.append(1) or values) == values
    assert remember(["task", 2], lambda: times.append(2)) is None
    assert times == [1, 2]


def test_a_result_that_was_cut_is_none(tmp_path):
    remember = kept.memory(tmp_path)
    remember([1], lambda: "whole")
    (file,) = tmp_path.glob("*.json")
    file.rename(file.with_suffix(".new"))  # as a kill leaves it
    assert kept.memory(tmp_path)([1], lambda: "anew") == "anew"
