"""Children of the server are what processes of their own would be; nobody outlives who asked for it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from orchard.rerun import warm

PROBE = """
import os, signal, sys, time
from pathlib import Path
if __name__ == "__main__":
    import noted
    print(sys.argv[1:], sys.argv[0], os.environ["GIVEN"], "torch" in sys.modules, "orchard.rerun.warm" in sys.modules)
    sys.stdout.flush()
    print(noted.TEXT, file=sys.stderr)
    wish = sys.argv[1]
    if wish == "sleep":
        Path("pid").write_text(str(os.getpid()))
        time.sleep(600)
    if wish == "kill":
        os.kill(os.getpid(), signal.SIGTERM)
    if wish == "raise":
        raise ValueError("probe")
    sys.exit(int(wish))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where a server works, with a module to run; the server ends with this file's tests."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "probe.py").write_text(PROBE)
    (folder / "noted.py").write_text("TEXT = 'first'")
    before = os.getcwd()
    os.chdir(folder)
    server = warm.start()
    os.chdir(before)
    yield folder
    server.kill()
    server.wait()


def asking(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    """A process that asks for the probe."""
    code = (
        "import sys; from orchard.rerun import warm; status = warm.ask('probe', sys.argv[1:]);print('status', status)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"GIVEN": "some"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("wish", "status"), [("0", 0), ("3", 3), ("kill", -signal.SIGTERM), ("raise", 1)])
def test_a_child_runs_as_python_m_would_with_the_streams_and_the_environment_of_who_asked(folder, wish, status):
    out, err = asking(folder, wish, "two words", GIVEN="other").communicate(timeout=60)
    assert out.splitlines() == [f"{[wish, 'two words']} {folder}/probe.py other False False", f"status {status}"]
    assert err.startswith("first\n")
    assert ("ValueError: probe" in err) == (wish == "raise")


def test_a_child_reads_code_as_it_is_then(folder):
    (folder / "noted.py").write_text("TEXT = 'second edit'")
    assert asking(folder, "0").communicate(timeout=60)[1] == "second edit\n"
    (folder / "noted.py").write_text("TEXT = 'first'")


def test_when_who_asked_is_killed_its_child_is(folder):
    client = asking(folder, "sleep")
    child = psutil.Process(int(written(folder / "pid")))
    client.kill()
    client.wait()
    assert gone(child)
    assert asking(folder, "0").communicate(timeout=60)[0].endswith("status 0\n"), "the server serves on"


def test_without_a_server_nothing_is_run(folder, tmp_path):
    assert "status None" in asking(folder, "0", ORCHARD_PLAIN="1").communicate()[0]
    assert "status None" in asking(tmp_path, "0").communicate()[0]


def test_when_the_server_is_killed_its_children_are_and_who_asked_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "noted.py").write_text("TEXT = ''")
    server = warm.start()
    client = asking(tmp_path, "sleep")
    child = psutil.Process(int(written(tmp_path / "pid")))
    server.kill()
    server.wait()
    assert f"status {-signal.SIGKILL}" in client.communicate(timeout=60)[0]
    assert gone(child)
    assert "status None" in asking(tmp_path, "0").communicate()[0], "its socket is left, and nobody answers"


def test_what_the_server_loads_starts_no_threads():
    code = (
        "from orchard import environment; from orchard.rerun import warm; environment.set_up();"
        "warm.load(warm.DVC + warm.COMPUTING); from pathlib import Path;"
        "print(*(file.read_text().strip() for file in Path('/proc/self/task').glob('*/comm')))"
    )
    threads = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert threads in (["python"], ["python", "jemalloc_bg_thd"])  # jemalloc sees to forks itself


def test_a_run_loads_what_its_stages_import():
    assert warm.libraries("orchard.rerun.repro") == warm.DVC
    assert warm.libraries("orchard.stages.rl") == warm.COMPUTING
    assert warm.libraries("orchard.stages.generate") == ()


@pytest.mark.parametrize("command", ["echo python -m orchard.stages.sft", "python -m probe 0", "python x.py"])
def test_only_stages_are_forked(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    assert warm.run_command(command, ".", dict(os.environ)) is None


def written(file: Path) -> str:
    """The content of a file that comes within a minute, and goes."""
    deadline = time.monotonic() + 60
    while not (file.is_file() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    text = file.read_text()
    file.unlink()
    return text


def gone(process: psutil.Process) -> bool:
    """Whether a process ends within ten seconds."""
    deadline = time.monotonic() + 10
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
