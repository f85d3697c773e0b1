"""A server lives as long as the process that asked for it: no orphan is left, however that process ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers.project import ROOT

# A server with a child that ignores polite signals and has left its parent's session.
CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
SERVER = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], start_new_session=True)
open("pids", "w").write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""
STAGE = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-m", "orchard.engines.keeper", sys.executable, "server.py"], stdin=subprocess.PIPE)
time.sleep(600)
"""


def start(folder: Path) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """A stage that started a server, and the server's processes."""
    (folder / "server.py").write_text(SERVER)
    (folder / "stage.py").write_text(STAGE)
    stage = subprocess.Popen(
        [sys.executable, "stage.py"], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
    )
    until = time.monotonic() + 60
    while not (folder / "pids").is_file() or not (folder / "pids").read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    return stage, [psutil.Process(int(pid)) for pid in (folder / "pids").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="it takes in orphans as Linux lets it")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_stage_leaves_nothing_running(tmp_path, how):
    stage, server = start(tmp_path)
    assert all(each.is_running() for each in server)
    stage.send_signal(how)
    stage.wait()
    gone, alive = psutil.wait_procs(server, timeout=40)
    assert not alive
    assert len(gone) == 2


def test_a_server_that_ends_ends_its_keeper_with_its_status():
    keeper = [sys.executable, "-m", "orchard.engines.keeper", sys.executable, "-c", "raise SystemExit(7)"]
    process = subprocess.Popen(keeper, stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
    assert process.wait(60) == 7
