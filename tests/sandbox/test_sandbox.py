"""Programs of ill will: each is contained, the next one runs, and the host is as it was."""

# ruff: noqa: E501
import os
import sys
import time
from pathlib import Path

import pytest

from orchard.errors import UserError
from orchard.sandbox import sandbox
from orchard.sandbox.sandbox import Limits, Outcome
from tests.helpers.problems import PROBLEMS
from tests.helpers.sandboxes import needs_bubblewrap

QUICK = Limits(seconds=2.0, cpu_seconds=1)
MARK = "orchard-sandbox-test"

HOSTILE = {  # program, and the errors that it may end with; none of these programs may pass
    "calls a host on the network": ("import socket; socket.create_connection(('192.0.2.1', 80), 1)", {"OSError"}),
    "calls the host itself": ("import socket; socket.create_connection(('127.0.0.1', {port}), 1)", {"ConnectionRefusedError"}),
    "asks a name server": ("import socket; socket.getaddrinfo('example.org', 80)", {"gaierror"}),
    "reads a secret of the environment": ("import os; print(os.environ['ORCHARD_SECRET'])", {"KeyError"}),
    "reads the environment of its parent": ("print(open('/proc/1/environ').read())", {"FileNotFoundError"}),
    "reads a secret of the home": ("print(open({secret!r}).read())", {"FileNotFoundError", "PermissionError"}),
    "lists the home": ("import os; os.listdir(os.path.expanduser('~root'))", {"FileNotFoundError", "PermissionError"}),
    "reads the users": ("print(open('/etc/passwd').read())", {"FileNotFoundError", "PermissionError"}),
    "reads what the project knows": ("print(open({readme!r}).read())", {"FileNotFoundError", "PermissionError"}),
    "writes outside": ("open('/left', 'w').write('x')", {"OSError", "PermissionError"}),
    "writes into the project": ("open({target!r}, 'w').write('x')", {"FileNotFoundError", "PermissionError", "OSError"}),
    "changes Python": ("import os; open(os.__file__, 'a').write('x')", {"OSError", "PermissionError"}),
    "makes a device": ("import os, stat; os.mknod('/tmp/disk', stat.S_IFBLK | 0o600, os.makedev(8, 0))", {"PermissionError"}),
    "follows a link out": ("import os; os.symlink({secret!r}, '/tmp/a'); print(open('/tmp/a').read())", {"FileNotFoundError", "PermissionError"}),
    "climbs out by dots": ("print(open('/tmp/../../../..' + {secret!r}).read())", {"FileNotFoundError", "PermissionError"}),
    "opens a descriptor that it was not given": (
        "import os\nfor fd in range(3, 64):\n  try: os.listdir(fd)\n  except OSError: continue\n  raise SystemExit(1)\nraise OSError",
        {"OSError"},
    ),
    "forks without end": ("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", {"out of time"}),
    "starts threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
        {"RuntimeError", "out of memory", "out of time"},
    ),
    "takes all memory": ("x = bytearray(2 ** 33)", {"out of memory"}),
    "takes memory bit by bit": ("x = []\nwhile True: x.append(bytearray(2 ** 20))", {"out of memory"}),
    "never ends": ("while True: pass", {"out of time"}),
    "sleeps": ("import time; time.sleep(600)", {"out of time"}),
    "ignores the signal": ("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", {"out of time", "ended early"}),
    "prints without end": ("while True: print('x' * 1000)", {"too much output"}),
    "fills the disk with one file": ("file = open('/tmp/a', 'wb')\nwhile True: file.write(b'x' * 2 ** 20)", {"OSError"}),
    "fills the disk with many files": ("for n in range(10 ** 6): open(f'/tmp/{n}', 'wb').write(b'x' * 2 ** 20)", {"OSError"}),
    "fills shared memory": ("for n in range(10 ** 6): open(f'/dev/shm/{n}', 'wb').write(b'x' * 2 ** 20)", {"OSError", "PermissionError"}),
    "kills its parent": ("import os; os.kill(os.getppid(), 9)", {"PermissionError", "ended early"}),
    "kills all it can": ("import os; os.kill(-1, 9)", {"ProcessLookupError", "PermissionError", "ended early"}),
    "ends as if it had passed": ("import os; os._exit(0)", {"ended early"}),
    "leaves early": ("raise SystemExit(0)", {"ended early"}),
    "says that it passed": ("import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'null')\n  except OSError: pass\nos._exit(0)", {"ended early"}),
    "becomes root": ("import os; os.setuid(0)", {"PermissionError"}),
    "mounts": ("import ctypes\nif ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None): raise OSError", {"OSError"}),
    "makes a namespace of its own and mounts there": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nif libc.unshare(0x10020000) or libc.mount(b'none', b'/python', b'tmpfs', 0, None): raise OSError",
        {"OSError"},
    ),
    "starts a shell": ("import subprocess; subprocess.run(['/bin/sh', '-c', 'id'], check=True)", {"FileNotFoundError", "PermissionError"}),
    "debugs another process": ("import ctypes\nif ctypes.CDLL(None).ptrace(16, 1, 0, 0): raise OSError", {"OSError"}),
    "exhausts the stack": ("def f(): f()\nf()", {"RecursionError"}),
    "crashes the interpreter": ("import ctypes; ctypes.string_at(0)", {"ended early"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A secret in the environment and in a file, a file to spoil, a port that listens; all as before at the end."""
    import socket

    folder = tmp_path_factory.mktemp("host")
    secret, target = folder / "secret", folder / "target"
    secret.write_text("hidden")
    target.write_text("untouched")
    os.environ["ORCHARD_SECRET"] = "hidden"
    with socket.create_server(("127.0.0.1", 0)) as server:
        values = {"secret": str(secret), "target": str(target), "readme": str(Path("README.md").resolve())}
        yield values | {"port": server.getsockname()[1]}
    del os.environ["ORCHARD_SECRET"]
    assert (secret.read_text(), target.read_text()) == ("hidden", "untouched")
    assert not Path("/left").exists()


@needs_bubblewrap
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_is_contained(name, host):
    program, errors = HOSTILE[name]
    for key, value in host.items():
        program = program.replace(f"{{{key}!r}}", repr(value)).replace(f"{{{key}}}", str(value))
    start = time.monotonic()
    outcome = sandbox.run(program, QUICK)
    assert outcome.error in errors, outcome
    assert "hidden" not in outcome.message
    assert time.monotonic() - start < QUICK.seconds + 3
    assert sandbox.run("assert True").error is None


@needs_bubblewrap
@pytest.mark.parametrize("left", ["fork", "daemon", "ignoring"])
def test_what_a_program_leaves_behind_is_gone(left):
    calm = {"fork": "", "daemon": "os.setsid()", "ignoring": "signal.signal(signal.SIGHUP, signal.SIG_IGN)"}[left]
    program = f"import os, signal, time\nif os.fork() == 0:\n  {calm or 'pass'}\n  time.sleep(300)  # {MARK}"
    assert sandbox.run(program, QUICK).error is None
    assert not [line for line in processes() if "LAUNCHER" in line or sandbox.LAUNCHER[:40].strip() in line]


def processes() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended meanwhile
    return found


@needs_bubblewrap
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("assert 1 + 1 == 2", Outcome(None)),
        ("import math, re, collections, json, random, heapq, itertools\nassert math.comb(4, 2) == 6", Outcome(None)),
        ("open('notes', 'w').write('x'); assert open('notes').read() == 'x'", Outcome(None)),
        ("print('x' * 1000)", Outcome(None)),
        ("assert 1 + 1 == 3, 'no'", Outcome("wrong answer", "no")),
        ("f(1", Outcome("unbalanced brackets", "'(' was never closed (program, line 1)")),
        ("f(1))", Outcome("unbalanced brackets", "unmatched ')' (program, line 1)")),
        ("if True print(1)", Outcome("syntax error", "invalid syntax (program, line 1)")),
        ("return_nothing()", Outcome("NameError", "name 'return_nothing' is not defined")),
    ],
)
def test_the_outcome_of_a_program(program, expected):
    assert sandbox.run(program) == expected


@needs_bubblewrap
def test_programs_share_nothing():
    assert sandbox.run("open('/tmp/mine', 'w').write('x')").error is None
    assert sandbox.run("import os; assert not os.listdir('/tmp')").error is None


def test_without_bubblewrap_it_is_refused_unless_the_config_takes_the_risk(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no bubblewrap"):
        sandbox.run("assert True")
    assert sandbox.run("assert True", unsafe=True).error is None
    assert sandbox.run("while True: pass", QUICK, unsafe=True).error == "out of time"


def test_where_bubblewrap_may_not_work_it_is_refused(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('No permissions to create new namespace')\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="No permissions to create new namespace"):
        sandbox.run("assert True")


@needs_bubblewrap
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem["entry_point"])
def test_reference_solutions_pass_and_an_empty_one_does_not(problem):
    start, end = problem["prompt"], f"\n{problem['test']}\ncheck({problem['entry_point']})"
    assert sandbox.run(start + problem["canonical_solution"] + end) == Outcome(None)
    assert sandbox.run(start + "    return None\n" + end).error == "wrong answer"
