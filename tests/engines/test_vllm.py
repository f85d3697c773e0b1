"""vLLM's server: how it is asked for, and what is said where it does not come."""

import os
from pathlib import Path

import psutil
import pytest

from orchard import paths
from orchard.engines import vllm
from orchard.engines.opening import opened
from orchard.errors import UserError
from tests.helpers.engines import INSTALLED, needs_vllm, save_random
from tests.helpers.studies import write_params


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_environment_that_is_not_made_is_said_with_what_makes_it(monkeypatch):
    for folder in ("", "elsewhere"):
        monkeypatch.setenv(vllm.ENVIRONMENT, folder)
        with pytest.raises(UserError, match="make vllm"):
            vllm.interpreter()


def test_the_studys_settings_reach_the_server():
    write_params({"loading": {"dtype": "bfloat16", "max_length": 4096, "memory": 0.5}, "arithmetic": "fast"})
    said = vllm.command(Path("/x/bin/python"), Path("model"), 1234)
    assert said[:2] == ["/x/bin/python", "-m"]
    of_model = {f"--model={Path('model').absolute()}", "--dtype=bfloat16", "--max-model-len=4096"}
    expected = of_model | {"--gpu-memory-utilization=0.5", "--host=127.0.0.1", "--port=1234"}
    assert expected | {"--generation-config=vllm"} <= set(said)
    write_params()
    assert not [option for option in vllm.command(Path("v"), Path("m"), 1) if "None" in option]


def fake(folder: Path, program: str) -> None:
    """An environment whose vLLM is another program."""
    files = {"bin/python": f"#!/bin/sh\n{program}\n", "lib/python3.11/site-packages/vllm/__init__.py": ""}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    (folder / "bin/python").chmod(0o755)


@pytest.mark.parametrize(
    ("program", "limit", "said"),
    [("echo 'ValueError: No room for keys'; exit 3", 60, "No room for keys"), ("sleep 60", 2, "no answer within 2 s")],
)
def test_a_server_that_does_not_start_is_said_with_its_log(tmp_path, monkeypatch, program, limit, said):
    write_params()
    save_random(Path("random"))
    fake(tmp_path / "env", program)
    monkeypatch.setenv(vllm.ENVIRONMENT, "env")
    monkeypatch.setattr(vllm, "STARTS_WITHIN", limit)
    with pytest.raises(UserError, match=said) as caught, opened("vllm", Path("random"), "behave@x"):
        pass
    assert str(paths.LOGS / "engines" / "behave@x.log") in str(caught.value)
    assert not [child for child in psutil.Process(os.getpid()).children(recursive=True) if "sleep" in child.name()]


@needs_vllm
def test_nothing_of_the_server_is_left(tmp_path, monkeypatch):
    write_params({"loading.memory": 0.2})
    monkeypatch.setenv(vllm.ENVIRONMENT, str(INSTALLED))
    save_random(Path("random"))
    before = set(psutil.Process().children(recursive=True))
    with opened("vllm", Path("random"), "behave@x") as engine:
        assert engine.version.startswith("vllm ")
        started = set(psutil.Process().children(recursive=True)) - before
        assert len(started) > 1
    assert not [each for each in started if each.is_running()]
