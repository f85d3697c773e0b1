"""Jobs and stages start as forks of one process that has imported the libraries, on the machine where Snakemake runs.

A run starts that process (the server); it ends with the run. A job asks it for a child and waits for the child's end.
Each child runs a module as `python -m` would: orchard's own code is read anew, so an edit counts as ever. When the job
that asked is killed, its child is killed; when the server is killed, all children die.

Where no server answers (on a cluster's node, after `dvc repro` by hand, with ORCHARD_PLAIN=1), all are plain processes.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import sys
from typing import NamedTuple, NoReturn

from orchard import environment, paths, processes

SOCKET = paths.SNAKEMAKE / "warm"  # relative, because a socket's path may have 107 characters
LOG = paths.LOGS / "warm.log"
PLAIN = "ORCHARD_PLAIN"  # set to 1: no server
WAITING = 1024  # children that may be asked for at once: ours, more than a machine has cores
# What jobs import, and what stages import that compute: 2 and 8 CPU seconds. Not orchard's own modules.
DVC = (
    "configobj", "dvc._debug", "dvc.cachemgr", "dvc.cli", "dvc.cli.parser", "dvc.commands.repro", "dvc.data_cloud",
    "dvc.dirs", "dvc.lock", "dvc.repo.artifacts", "dvc.repo.datasets", "dvc.repo.metrics", "dvc.repo.open_repo",
    "dvc.repo.params", "dvc.repo.plots", "dvc.repo.reproduce", "dvc.repo.stage", "dvc.rwlock", "dvc.scm",
    "dvc.stage.run", "dvc.utils.strictyaml", "dvc_data.hashfile.db.local", "flufl.lock",
    "fsspec.implementations.memory", "platformdirs", "pydantic", "pydantic._internal._generate_schema",
    "pydantic.main", "pydantic.type_adapter", "pydantic.types", "pyparsing", "ruamel.yaml", "scmrepo.noscm",
)  # fmt: skip
COMPUTING = (
    "datasets", "lm_eval.evaluator", "lm_eval.models.huggingface", "matplotlib.figure", "numpy", "pandas", "pyarrow",
    "pyarrow.parquet", "scipy.stats", "torch", "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto", "transformers.trainer", "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
)  # fmt: skip
JOB = "orchard.rerun.repro"
STAGES = "orchard.stages."
LIGHT = ("orchard.stages.generate", "orchard.stages.ingest", "orchard.stages.mix")  # these do not compute
ALONE = ("orchard.stages.fetch",)  # its libraries must see the network, and so another environment than the server's


class Request(NamedTuple):
    """A child that is asked for.

    Attributes:
        module: what it runs, as `python -m` would.
        arguments: behind the module's name.
        folder: where it works.
        environment: its environment variables.
    """

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


# Who asks


def start() -> subprocess.Popen | None:
    """Starts this run's server, which ends with this process; its log is logs/warm.log. None if it cannot be."""
    if os.environ.get(PLAIN) == "1":
        return None
    SOCKET.parent.mkdir(exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    with contextlib.suppress(OSError), _listening() as listening:  # a file system without sockets: plain processes
        LOG.parent.mkdir(exist_ok=True)
        with LOG.open("w") as log:
            command = [sys.executable, "-m", "orchard.rerun.warm", str(listening.fileno())]
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            atexit.register(SOCKET.absolute().unlink, missing_ok=True)  # not every program can copy a socket
            return subprocess.Popen(command, **streams, pass_fds=[listening.fileno()])
    return None


def ask(module: str, arguments: list[str], folder: str = ".", environment: dict[str, str] | None = None) -> int | None:
    """Runs a module in a child of the server, with this process's standard streams, and waits for its end.

    Returns:
        Its exit status, negative for a signal as in subprocess; None where no server answers: nothing was run.
    """
    if os.environ.get(PLAIN) == "1" or module in ALONE or not SOCKET.exists():
        return None
    request = Request(module, arguments, os.path.abspath(folder), dict(environment or os.environ))
    payload = json.dumps(request._asdict()).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(str(SOCKET))
            socket.send_fds(server, [struct.pack("!Q", len(payload))], [0, 1, 2])
            server.sendall(payload)
        except OSError:  # the socket of a run that is no more
            return None
        # Ctrl-C reaches the child too, which ends in its own way.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            answer = server.recv(8)
        finally:
            signal.signal(signal.SIGINT, before)
    return struct.unpack("!q", answer)[0] if len(answer) == 8 else -signal.SIGKILL  # no answer: the server was killed


def run_command(command: str, folder: str, environment: dict[str, str]) -> int | None:
    """Runs a stage's command in a child of the server; None where it is no stage's, or no server answers."""
    words = shlex.split(command)
    if words[:2] != ["python", "-m"] or not words[2].startswith(STAGES):
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    return ask(words[2], words[3:], folder, environment)


# The server


def _listening() -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.bind(str(SOCKET))
        SOCKET.chmod(0o600)
        found.listen(WAITING)
    except OSError:
        found.close()
        raise
    return found


class Server:
    """Forks a child for each connection; tells it the child's exit status, and kills the child if it is closed before.

    Args:
        listening: the socket that who asks connects to.
    """

    def __init__(self, listening: socket.socket):
        self.listening = listening
        self.selector = selectors.DefaultSelector()
        self.selector.register(listening, selectors.EVENT_READ, self._accept)
        self.children: dict[socket.socket, tuple[int, int]] = {}  # process and its pidfd

    def serve(self) -> Request:
        """Serves for ever; in a child it returns what the child has to run."""
        while True:
            (key, _), *_ = self.selector.select()  # one at a time, since each may take others away
            if request := key.data():
                return request

    def _accept(self) -> Request | None:
        connection, _ = self.listening.accept()
        connection.settimeout(5)  # who asks has its request at hand
        try:
            head, streams, _, _ = socket.recv_fds(connection, 8, 3)
            (length,) = struct.unpack("!Q", head)
            payload = b""
            while len(payload) < length:
                payload += connection.recv(length - len(payload)) or _gone()
        except (OSError, struct.error):
            connection.close()
            return None
        request = Request(**json.loads(payload))
        load(libraries(request.module))
        return self._fork(connection, streams, request)

    def _fork(self, connection: socket.socket, streams: list[int], request: Request) -> Request | None:
        server = os.getpid()
        if not (child := os.fork()):
            self._become(connection, streams, request, server)
            return request
        for stream in streams:
            os.close(stream)
        end = os.pidfd_open(child)
        self.children[connection] = child, end
        self.selector.register(end, selectors.EVENT_READ, lambda: self._tell(connection))
        self.selector.register(connection, selectors.EVENT_READ, lambda: self._end(connection))
        return None

    def _tell(self, connection: socket.socket) -> None:
        """The child has ended."""
        child, end = self.children.pop(connection)
        self.selector.unregister(end)
        self.selector.unregister(connection)
        os.close(end)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(OSError), connection:
            connection.sendall(struct.pack("!q", status))

    def _end(self, connection: socket.socket) -> None:
        """Who asked was killed: nothing else is ever sent."""
        os.kill(self.children[connection][0], signal.SIGKILL)
        self._tell(connection)

    def _become(self, connection: socket.socket, streams: list[int], request: Request, server: int) -> None:
        """Makes the forked process the one that was asked for."""
        processes.die_with_parent()
        if os.getppid() != server:  # it was killed meanwhile
            os._exit(1)
        for held in (self.listening, connection, *self.children):
            held.close()
        for _, end in self.children.values():
            os.close(end)
        self.selector.close()
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(request.environment)
        os.chdir(request.folder)


def libraries(module: str) -> tuple[str, ...]:
    """What a module is known to import; so that a run of a single light stage loads no more than the stage would."""
    if module == JOB:
        return DVC
    return COMPUTING if module.startswith(STAGES) and module not in LIGHT else ()


def load(names: tuple[str, ...]) -> None:
    """Imports libraries that are not there yet."""
    if missing := [name for name in names if name not in sys.modules]:
        for name in missing:
            importlib.import_module(name)
        gc.freeze()  # so that a child's collector does not write to the memory that all share


def _gone() -> NoReturn:
    raise ConnectionError


def _forget_own_code() -> None:
    """Takes orchard's modules out of memory, so that a child reads their files as they are then."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "orchard"]:
        del sys.modules[name]


def main() -> None:
    """The server, then each of its children."""
    processes.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    environment.set_up()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        request = Server(listening).serve()
    _forget_own_code()
    sys.argv[:] = ["-m", *request.arguments]
    sys.orig_argv[:] = [sys.executable, "-m", request.module, *request.arguments]  # should it start itself anew
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
