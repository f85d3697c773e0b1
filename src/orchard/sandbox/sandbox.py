"""Runs a program that a model wrote where it can do no harm: in namespaces of its own, made by bubblewrap.

The program sees no network, no other process, no environment, and no file but Python's own library, read-only, and one
empty folder in memory. Its CPU time, memory, processes, file sizes, output and time are limited, and it is killed with
all that it started. The launcher reports over a pipe whether it passed, behind a nonce that the program never sees. So
a program that ends early, or prints what a passing one would, has not passed.
"""

import contextlib
import functools
import json
import os
import re
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from orchard.errors import UserError
from orchard.sandbox import seccomp

NOBODY = 65534
READ_ONLY = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"]  # what a Python needs to start
PYTHON = Path("/python")  # where Python's own folder is in the sandbox: its path may lead through a private home
BRACKETS = re.compile(r"was never closed|unmatched '|does not match opening parenthesis")  # of CPython's SyntaxError

LAUNCHER = """
import json, os, resource, signal, sys
class OutOfTime(BaseException):
    pass
def give_up(*_):
    raise OutOfTime
limits, nonce, status = json.loads(sys.argv[1]), sys.stdin.readline().strip(), int(sys.argv[2])
source = sys.stdin.read()
megabyte = 2 ** 20
for name, value in {
    "CPU": limits["cpu_seconds"],
    "AS": limits["memory_mb"] * megabyte,
    "NPROC": limits["processes"],
    "FSIZE": limits["file_mb"] * megabyte,
    "NOFILE": 64,
    "CORE": 0,
}.items():
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value + (name == "CPU")))
signal.signal(signal.SIGXCPU, give_up)  # a program that goes on is killed a second later
if os.getuid() == 0:  # root is held by no limit of processes
    os.setgroups([])
    os.setgid(limits["nobody"])
    os.setuid(limits["nobody"])
try:
    exec(compile(source, "program", "exec"), {"__name__": "program"})
    error = None
except BaseException as raised:
    error = [type(raised).__name__, str(raised)[:300]]
os.write(status, (nonce + json.dumps(error)).encode())
os._exit(0)
"""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of each process.
        memory_mb: address space of each process, in MiB.
        processes: at a time, threads counted.
        file_mb: of a file, and of all files together, in MiB.
        output_kb: of what it prints, in KiB; more ends it.
    """

    seconds: float = 10.0
    cpu_seconds: int = 10
    memory_mb: int = 512
    processes: int = 16
    file_mb: int = 16
    output_kb: int = 64


@dataclass(frozen=True)
class Outcome:
    """What became of a program.

    Attributes:
        error: none: it ran to its end; else one of ``unbalanced brackets``, ``syntax error``, ``wrong answer`` (an
            assertion failed), ``out of memory``, ``out of time``, ``too much output``, ``ended early`` (it left before
            its last line), or the name of an exception.
        message: that of the exception.
    """

    error: str | None
    message: str = ""


def run(source: str, limits: Limits | None = None, unsafe: bool = False) -> Outcome:
    """Runs a Python program to its end or to a limit.

    Args:
        source: the program; it passes by raising nothing.
        limits: what it may use.
        unsafe: run it without a sandbox, with the limits alone.

    Raises:
        UserError: there is no bubblewrap here, or it may not make namespaces.
    """
    limits = limits or Limits()
    if not unsafe:
        require_sandbox()
    nonce, (status, report) = secrets.token_hex(16), os.pipe()
    settings = json.dumps(asdict(limits) | {"nobody": NOBODY})
    python = [sys.executable if unsafe else _python(), "-I", "-S", "-c", LAUNCHER, settings, str(report)]
    with _filter() as calls:
        process = subprocess.Popen(
            python if unsafe else [*_wrapped(limits, calls), *python],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[report, *calls],
            env={},
            cwd="/",
            start_new_session=True,
        )
    os.close(report)
    try:
        ended = _watch(process, f"{nonce}\n{source}".encode(), status, limits)
    finally:
        _kill(process)
    with os.fdopen(status, "rb") as pipe:
        os.set_blocking(status, False)
        reported = (pipe.read() or b"").decode(errors="replace")
    return _outcome(reported, nonce, ended)


def require_sandbox() -> None:
    """Refuses to go on where programs cannot be locked in.

    Raises:
        UserError: bubblewrap is not installed, or the system does not let it work.
    """
    rule, why = "a model's programs run in a sandbox", "they may do anything that you may"
    if not (bubblewrap := shutil.which("bwrap")):
        fix = "install it (Debian: `apt install bubblewrap`), or set `unsafe: true` and trust the model"
        raise UserError(found="no bubblewrap (`bwrap`) here", rule=rule, why=why, fix=fix)
    if trouble := _trouble(bubblewrap):
        fix = "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or set `unsafe: true`"
        raise UserError(found=f"bubblewrap does not work here: {trouble}", rule=rule, why=why, fix=fix)


@functools.cache
def _trouble(bubblewrap: str) -> str:
    """What bubblewrap complains of when it is to run a Python that does nothing."""
    with _filter() as calls:
        command = [*_wrapped(Limits(), calls), _python(), "-I", "-S", "-c", ""]
        tried = subprocess.run(command, capture_output=True, text=True, env={}, pass_fds=calls)
    return (tried.stderr.strip() or f"exit status {tried.returncode}") if tried.returncode else ""


def _python() -> str:
    """The interpreter in the sandbox: the same version, none of the installed packages."""
    home = Path("/usr") if sys.base_prefix == "/usr" else PYTHON
    return str(home / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


@contextlib.contextmanager
def _filter() -> Iterator[list[int]]:
    """An open file with the filter of system calls, if there is one for this machine."""
    if not (content := seccomp.program()):
        yield []
        return
    file = os.memfd_create("seccomp")
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    yield [file]
    os.close(file)


def _wrapped(limits: Limits, calls: list[int]) -> list[str]:
    """bubblewrap's arguments: everything is unshared, and nothing is there but what is named."""
    words = [shutil.which("bwrap"), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if os.getuid() == 0:
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]  # to become nobody
    else:
        words += ["--unshare-user"]
    for path in READ_ONLY:
        words += ["--ro-bind-try", path, path]
    own = ["/usr/bin", "/usr/bin"] if sys.base_prefix == "/usr" else [sys.base_prefix, str(PYTHON)]
    words += ["--ro-bind", *own]
    for file in calls:
        words += ["--seccomp", str(file)]
    size = str(limits.file_mb * 2**20)
    words += ["--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--size", size, "--perms", "1777"]
    words += ["--tmpfs", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    return words


def _watch(process: subprocess.Popen, program: bytes, status: int, limits: Limits) -> str | None:
    """Feeds the program and reads what it prints, until it ends or has to be ended; what it was ended for."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(program)
        process.stdin.close()
    deadline, printed = time.monotonic() + limits.seconds, 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                data = os.read(process.stdout.fileno(), 65536)
                printed += len(data)
                if printed > limits.output_kb * 1024:
                    return "too much output"
                if not data:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(max(0.0, deadline - time.monotonic()))
                        return None
    return "out of time"


def _kill(process: subprocess.Popen) -> None:
    """Ends the group; with bubblewrap's own process all in its namespace die."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def _outcome(reported: str, nonce: str, ended: str | None) -> Outcome:
    """The outcome that the launcher reported over its pipe."""
    if ended:
        return Outcome(ended)
    if not reported.startswith(nonce):
        return Outcome("ended early")
    raised = json.loads(reported.removeprefix(nonce))
    if raised is None:
        return Outcome(None)
    name, message = raised
    kinds = {"AssertionError": "wrong answer", "MemoryError": "out of memory", "SystemExit": "ended early"}
    kinds["OutOfTime"] = "out of time"
    if name in ("SyntaxError", "IndentationError", "TabError"):
        return Outcome("unbalanced brackets" if BRACKETS.search(message) else "syntax error", message)
    return Outcome(kinds.get(name, name), message)
