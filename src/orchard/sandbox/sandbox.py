"""Runs a program that a model wrote where it can do no harm, and its tests where the program is not.

Two processes run, each in namespaces of its own, made by bubblewrap, behind a filter of system calls: one has the
program (`orchard.sandbox.server`), the other the tests (`orchard.sandbox.tester`). The tests ask for values over a pair
of pipes, get them as plain data, and form the verdict. The program knows neither the tests nor the pipe on which the
verdict is reported. So a program that ends early, or says what it should not, has not passed.

Each process sees no network, no other process, no environment, and no file but Python's library, numpy and this
package, read-only, and one empty folder in memory. It makes no second process. Its CPU time, memory, threads, file
sizes, output and time are limited.
"""

import contextlib
import functools
import importlib.util
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from orchard.errors import UserError
from orchard.sandbox import codec, confine, kinds, seccomp, server, tester

READ_ONLY = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"]  # what a Python needs to start
PYTHON = Path("/python")  # where Python's own folder is in the sandbox: its path may lead through a private home
PACKAGES = Path("/packages")  # where numpy and this package are
INSIDE = (codec, confine, kinds, server, tester)  # what runs in the sandbox
BRACKETS = re.compile(r"was never closed|unmatched '|does not match opening parenthesis")  # of CPython's SyntaxError
TESTS_MEMORY_MB = 2048  # ours: HumanEval+ has tests of megabytes, whose compilation takes a hundred times as much
LONGEST_VERDICT = 4096  # bytes


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of CPU time.
        memory_mb: address space, in MiB; there is one process, and no memory beside it but files and what pipes hold.
        threads: at a time.
        file_mb: of a file, and of all files together, in MiB.
        output_kb: of what it prints, in KiB; more ends it.
    """

    seconds: float = 10.0
    cpu_seconds: int = 10
    memory_mb: int = 512
    threads: int = 16
    file_mb: int = 16
    output_kb: int = 64


@dataclass(frozen=True)
class Suite:
    """What a program is to pass.

    Attributes:
        script: Python; a program passes if this raises nothing.
        entry_point: the function or class that is tested.
        prelude: what the program begins with and did not write itself. What it defines besides the entry point the
            tests use from here.
        reference: a right program. A class of the program's is used as one by the tests if this has it too.
    """

    script: str
    entry_point: str = ""
    prelude: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a program.

    Attributes:
        error: one of `orchard.sandbox.kinds.KINDS`; None: it passed.
        message: that of the exception, in the program's own words.
    """

    error: str | None
    message: str = ""


class _Pipe(NamedTuple):
    out: int
    into: int


def run(program: str, tests: Suite, limits: Limits | None = None, unsafe: bool = False) -> Outcome:
    """Runs the tests of a Python program, to their end or to a limit.

    Args:
        program: what a model wrote.
        tests: what it is to pass.
        limits: what it may use. The tests have the same, but for their memory.
        unsafe: run both without a sandbox, with the limits alone.

    Raises:
        UserError: there is no bubblewrap here, or it may not make namespaces.
    """
    limits = limits or Limits()
    if not unsafe:
        require_sandbox()
    requests, replies, verdict = (_Pipe(*os.pipe()) for _ in range(3))
    roomy = replace(limits, memory_mb=max(limits.memory_mb, TESTS_MEMORY_MB))
    tested = _start(server, {"program": program}, [requests.out, replies.into], limits, unsafe)
    testing = _start(tester, asdict(tests), [requests.into, replies.out, verdict.into], roomy, unsafe)
    for file in (*requests, *replies, verdict.into):
        os.close(file)
    try:
        return _watch(tested, verdict.out, limits)
    finally:
        os.close(verdict.out)
        for process in (tested, testing):
            _kill(process)


def require_sandbox() -> None:
    """Refuses to go on where programs cannot be locked in.

    Raises:
        UserError: bubblewrap is not installed, the system does not let it work, or system calls cannot be filtered.
    """
    rule, why = "a model's programs run in a sandbox", "they may do anything that you may"
    if not seccomp.program():
        fix = "run them on another machine (x86_64, aarch64), or set `unsafe_programs: true` and trust the model"
        raise UserError(found="no list of this machine's system calls", rule=rule, why=why, fix=fix)
    if not (bubblewrap := shutil.which("bwrap")):
        fix = "install it (Debian: `apt install bubblewrap`), or set `unsafe_programs: true` and trust the model"
        raise UserError(found="no bubblewrap (`bwrap`) here", rule=rule, why=why, fix=fix)
    if trouble := _trouble(bubblewrap):
        fix = "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or set `unsafe_programs: true`"
        raise UserError(found=f"bubblewrap does not work here: {trouble}", rule=rule, why=why, fix=fix)


@functools.cache
def _trouble(bubblewrap: str) -> str:
    """What bubblewrap complains of when it is to run a Python that does nothing."""
    with _filter() as calls:
        command = [*_wrapped(Limits(), calls), _python(), "-I", "-S", "-c", ""]
        tried = subprocess.run(command, capture_output=True, text=True, env={}, pass_fds=[calls])
    return (tried.stderr.strip() or f"exit status {tried.returncode}") if tried.returncode else ""


def _start(module, given: dict, files: list[int], limits: Limits, unsafe: bool) -> subprocess.Popen:
    """Starts the main function of a module, in a sandbox if it is not unsafe.

    Args:
        module: the program's side or the tests'.
        given: what it reads from standard input.
        files: the ends of pipes that it has; their numbers are its arguments.
        limits: what it may use.
        unsafe: run it without a sandbox.
    """
    paths = [*map(str, _packages().values())] if unsafe else [str(PACKAGES)]
    code = f"import sys; sys.path += {paths}; from {module.__name__} import main; main()"
    python = [sys.executable if unsafe else _python(), "-I", "-S", "-B", "-c", code, *map(str, files)]
    given = given | {"limits": asdict(limits), "user": None if unsafe or os.getuid() else _own_user()}
    with _filter() as calls, _file("input", json.dumps(given).encode()) as told:
        return subprocess.Popen(
            python if unsafe else [*_wrapped(limits, calls), *python],
            stdin=told,
            stdout=subprocess.PIPE if module is server else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            pass_fds=[*files, calls],
            env={"OPENBLAS_NUM_THREADS": "1"} if unsafe else {},
            cwd="/",
            start_new_session=True,
        )


def _own_user() -> int:
    """A user that nothing else runs as: neighbours of one user share a limit of threads, and may signal each other.

    It is drawn from the upper half of the numbers that there are here, where no machine has people.
    """
    maps = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    end = max(int(first) + int(count) for first, _, count in maps)
    return end // 2 + secrets.randbelow(end // 2 - 1)


def _python() -> str:
    """The interpreter in the sandbox: the same version, none of the installed packages but numpy."""
    home = Path("/usr") if sys.base_prefix == "/usr" else PYTHON
    return str(home / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


@functools.cache
def _packages() -> dict[str, Path]:
    """What is imported in the sandbox besides Python's library: paths below `PACKAGES`, and the folder of each."""
    numpy = Path(importlib.util.find_spec("numpy").origin).parent.parent
    own = Path(__file__).parent.parent.parent
    found = {"numpy": numpy, "numpy.libs": numpy, "orchard/sandbox": own}
    return {name: folder for name, folder in found.items() if (folder / name).exists()}


def _filter() -> contextlib.AbstractContextManager[int]:
    """An open file with the filter of system calls."""
    return _file("seccomp", seccomp.program() or b"")


@contextlib.contextmanager
def _file(name: str, content: bytes) -> Iterator[int]:
    """An open file in memory, to be read from its beginning."""
    file = os.memfd_create(name)
    with os.fdopen(file, "wb", closefd=False) as opened:
        opened.write(content)
    os.lseek(file, 0, os.SEEK_SET)
    try:
        yield file
    finally:
        os.close(file)


def _wrapped(limits: Limits, calls: int) -> list[str]:
    """bubblewrap's arguments: everything is unshared, and nothing is there but what is named."""
    words = [shutil.which("bwrap"), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    words += ["--setenv", "OPENBLAS_NUM_THREADS", "1"]  # numpy's threads take the memory of a small limit
    if os.getuid() == 0:
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]  # to become a user of its own
    else:
        words += ["--unshare-user"]
    for path in READ_ONLY:
        words += ["--ro-bind-try", path, path]
    own = ["/usr/bin", "/usr/bin"] if sys.base_prefix == "/usr" else [sys.base_prefix, str(PYTHON)]
    words += ["--ro-bind", *own]
    for folder in (PACKAGES, PACKAGES / "orchard"):
        words += ["--perms", "755", "--dir", str(folder)]
    for name, folder in _packages().items():
        words += ["--ro-bind", str(folder / name), str(PACKAGES / name)]
    size = str(limits.file_mb * 2**20)
    words += ["--seccomp", str(calls), "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm"]
    words += ["--size", size, "--perms", "1777", "--tmpfs", "/tmp"]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


def _watch(tested: subprocess.Popen, verdict: int, limits: Limits) -> Outcome:
    """Reads the verdict and what the program prints, until there is a verdict or both have to be ended."""
    deadline, printed, said = time.monotonic() + limits.seconds, 0, b""
    with selectors.DefaultSelector() as selector:
        for file in (tested.stdout.fileno(), verdict):
            selector.register(file, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                data = os.read(key.fd, 65536)
                if key.fd == verdict:
                    said += data
                    if not data or len(said) > LONGEST_VERDICT:
                        return _outcome(said)
                elif not data:
                    selector.unregister(key.fd)
                elif (printed := printed + len(data)) > limits.output_kb * 1024:
                    return Outcome(kinds.TOO_MUCH)
    return Outcome(kinds.OUT_OF_TIME)


def _kill(process: subprocess.Popen) -> None:
    """Ends the group; with bubblewrap's own process all in its namespace die."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _outcome(said: bytes) -> Outcome:
    """The outcome that the tests' side reported over its pipe; tests that did not come to that have not been passed."""
    try:
        error, message = json.loads(said)
    except (ValueError, TypeError, RecursionError):
        return Outcome(kinds.ENDED_EARLY, "the tests did not come to an end")
    if error == kinds.SYNTAX and BRACKETS.search(str(message)):
        error = kinds.BRACKETS
    return Outcome(error if error is None or str(error) in kinds.KINDS else kinds.OTHER, str(message))
