"""Programs of ill will: each is contained, none passes, the next one runs, and the host is as it was."""

# ruff: noqa: E501
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from orchard.errors import UserError
from orchard.sandbox import sandbox
from orchard.sandbox.sandbox import Limits, Outcome, Suite
from tests.helpers.problems import PROBLEMS
from tests.helpers.sandboxes import needs_bubblewrap, run

QUICK = Limits(seconds=2.0, cpu_seconds=1)

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
    "makes a process": ("import os; os.fork()", {"PermissionError"}),
    "makes a process by way of the library": ("import multiprocessing as m\np = m.get_context('fork').Process()\np.start()", {"PermissionError"}),
    "makes a process of another program": ("import os, sys; os.posix_spawn(sys.executable, ['python'], {})", {"PermissionError"}),
    "hides memory in a file without a name": ("import os; os.memfd_create('x')", {"PermissionError"}),
    "hides memory in a segment": ("import ctypes\nif ctypes.CDLL(None).shmget(0, 2 ** 30, 0o1600) < 0: raise OSError", {"OSError"}),
    "hides memory in a queue": ("import ctypes\nif ctypes.CDLL(None).msgget(0, 0o1600) < 0: raise OSError", {"OSError"}),
    "makes a socket to the host of a virtual machine": ("import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", {"PermissionError"}),
    "makes a socket to the kernel": ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", {"PermissionError"}),
    "starts threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
        {"RuntimeError", "out of memory", "out of time"},
    ),
    "takes all memory": ("x = bytearray(2 ** 33)", {"out of memory"}),
    "takes memory bit by bit": ("x = []\nwhile True: x.append(bytearray(2 ** 20))", {"out of memory", "out of time"}),
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
    "closes all that is open": ("import os; os.closerange(0, 64)", {"ended early"}),
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
    outcome = run(program, limits=QUICK)
    assert outcome.error in errors, outcome
    assert "hidden" not in outcome.message
    assert time.monotonic() - start < QUICK.seconds + 3
    assert run("").error is None


@needs_bubblewrap
def test_what_a_program_leaves_behind_is_gone():
    """Its threads, and both processes of the sandbox."""
    program = "import threading, time\nthreading.Thread(target=time.sleep, args=(300,)).start()"
    assert run(program, limits=QUICK).error is None
    assert not own_or_orphaned()


def own_or_orphaned() -> list[str]:
    """The commands of sandboxes that this process, or one that it started, began; and of those that lost their parent,
    which fall to an ancestor. Those of others who run sandboxes now have another parent.
    """
    this = psutil.Process()
    kin = {process.pid for process in (this, *this.parents(), *this.children(recursive=True))}
    running = [process.info for process in psutil.process_iter(["ppid", "cmdline"])]
    commands = [" ".join(each["cmdline"] or []) for each in running if each["ppid"] in kin]
    return [command for command in commands if str(sandbox.PACKAGES) in command]


@needs_bubblewrap
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("", Outcome(None)),
        ("import math, re, collections, json, random, heapq, itertools\nassert math.comb(4, 2) == 6", Outcome(None)),
        ("import numpy\nassert numpy.arange(3).sum() == 3", Outcome(None)),
        (
            "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass A:\n  b: int",
            Outcome(None),
        ),
        ("import threading\nt = threading.Thread(target=print); t.start(); t.join()", Outcome(None)),
        ("open('notes', 'w').write('x'); assert open('notes').read() == 'x'", Outcome(None)),
        ("print('x' * 1000)", Outcome(None)),
        ("assert 1 + 1 == 3, 'no'", Outcome("wrong answer", "no")),
        ("f(1", Outcome("unbalanced brackets", "'(' was never closed (program, line 1)")),
        ("f(1))", Outcome("unbalanced brackets", "unmatched ')' (program, line 1)")),
        ("if True print(1)", Outcome("syntax error", "invalid syntax (program, line 1)")),
        ("return_nothing()", Outcome("NameError", "name 'return_nothing' is not defined")),
        ("input()", Outcome("EOFError", "EOF when reading a line")),
    ],
)
def test_the_outcome_of_a_program(program, expected):
    assert run(program) == expected


@needs_bubblewrap
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("assert answer == 42", None),
        ("assert answer == 43", "wrong answer"),
        ("assert anwser == 42", "NameError"),
        ("assert True", "not tested"),
        ("answer(", "unbalanced brackets"),
        ("answer / 0", "ZeroDivisionError"),
        ("answer\nimport os; os._exit(0)", "ended early"),
        (
            "answer\nimport os\nfor fd in range(3, 64):\n  try: os.write(fd, b'[' * 99999)\n  except OSError: pass\nos._exit(0)",
            "ended early",
        ),
        ("answer\nwhile True: pass", "out of time"),
        ("answer\nx = bytearray(2 ** 33)", "out of memory"),
        ("answer\nopen({secret!r})", "FileNotFoundError"),
        ("answer\nimport os; os.fork()", "PermissionError"),
    ],
)
def test_tests_are_locked_in_as_programs_are(script, error, host):
    """They come from a row of a file, which may be a stranger's."""
    assert run("", script.replace("{secret!r}", repr(host["secret"])), limits=QUICK).error == error


@needs_bubblewrap
def test_programs_share_nothing():
    assert run("open('/tmp/mine', 'w').write('x')").error is None
    assert run("import os; assert not os.listdir('/tmp')").error is None


@needs_bubblewrap
def test_neighbours_do_not_take_each_others_threads():
    """Each may have 16, and four of them at once have 48."""
    program = "import threading, time\nfor _ in range(12): threading.Thread(target=time.sleep, args=(1,)).start()"
    with ThreadPoolExecutor(4) as pool:
        assert [each.error for each in pool.map(run, [program] * 4)] == [None] * 4


@needs_bubblewrap
@pytest.mark.skipif(os.getuid() != 0, reason="who is not root gets a namespace of users instead")
def test_root_runs_each_program_as_a_user_of_its_own():
    program = "import os\ndef user(): return [os.getuid(), os.getgid(), os.getgroups()]"
    script = "raise Exception(user())"
    users = {run(program, script).message for _ in range(3)}
    assert len(users) == 3
    assert all(user.endswith(", []]") and not user.startswith("[0,") for user in users)


def test_without_bubblewrap_it_is_refused_unless_the_config_takes_the_risk(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no bubblewrap"):
        run("")
    assert run("import heapq, numpy", unsafe=True).error is None
    assert run("assert False", unsafe=True).error == "wrong answer"
    assert run("while True: pass", limits=QUICK, unsafe=True).error == "out of time"


def test_where_system_calls_cannot_be_filtered_it_is_refused(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UserError, match="no list of this machine's system calls"):
        run("")


def test_where_bubblewrap_may_not_work_it_is_refused(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('No permissions to create new namespace')\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="No permissions to create new namespace"):
        run("")


@needs_bubblewrap
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem["entry_point"])
def test_reference_solutions_pass_and_an_empty_one_does_not(problem):
    start, name = problem["prompt"], problem["entry_point"]
    tests = Suite(f"{problem['test']}\ncheck({name})", name, start)
    assert sandbox.run(start + problem["canonical_solution"], tests) == Outcome(None)
    assert sandbox.run(start + "    return None\n", tests).error == "wrong answer"
