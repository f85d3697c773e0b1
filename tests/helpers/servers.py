"""Real servers for DVC remotes on this machine: an SSH server, and one that speaks S3; each on a free port of loopback.

A server runs as the current user, keeps everything in one folder, and is stopped by its process id.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ANSWERS_WITHIN = 20  # seconds until a started server answers: ours, each takes under one on an idle machine
KEY_ID, SECRET = secrets.token_hex(8), secrets.token_hex(16)  # of the S3 server


@dataclass
class Server:
    """A server that can be started and stopped any number of times on the same port.

    Args:
        command: what to run.
        port: where it answers.
        url: the DVC remote's URL.
        store: the folder that holds what is pushed.
        credentials: what `dvc remote modify --local` is told.
        secrets: texts that must never be in git.
    """

    command: list[str]
    port: int
    url: str
    store: Path
    credentials: dict[str, str]
    secrets: list[str]
    process: subprocess.Popen | None = field(default=None, init=False)

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self, *options: str) -> None:
        """Starts it, with more options if given, and waits until the port answers."""
        log = self.store.parent / "log"
        with open(log, "w") as file:
            self.process = subprocess.Popen([*self.command, *options], stdout=file, stderr=file)
        deadline = time.monotonic() + ANSWERS_WITHIN
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.command[0]} does not answer on port {self.port}: {log.read_text()}")

    def stop(self) -> None:
        """Stops it, and the connections that it serves."""
        if self.process is None:
            return
        running = self.process.poll() is None
        for child in psutil.Process(self.process.pid).children(recursive=True) if running else []:
            child.kill()
        self.process.kill()
        self.process.wait()
        self.process = None

    def objects(self) -> dict[str, int]:
        """The objects that it holds, without the run cache: MD5 to size in bytes."""
        files = [file for file in self.store.rglob("files/md5/*/*") if file.is_file()]
        return {file.parent.name + file.name: file.stat().st_size for file in files}


SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
"""


def ssh_server(folder: Path) -> Server:
    """An sshd that lets the current user in, by one key."""
    store, (port,) = folder / "store", free_ports(1)
    store.mkdir(parents=True)
    for name in ("host", "user"):
        subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "sshd_config").write_text(SSHD.format(port=port, folder=folder))
    Path("/run/sshd").mkdir(exist_ok=True)
    return Server(
        [program("sshd"), "-D", "-e", "-f", str(folder / "sshd_config")],
        port,
        f"ssh://127.0.0.1{store}",
        store,
        {"user": user(), "port": str(port), "keyfile": str(folder / "user")},
        [str(folder / "user"), (folder / "user").read_text().splitlines()[2]],
    )


def s3_server(folder: Path) -> Server:
    """rclone's S3 server over a folder with one bucket; an object is a file there."""
    store, (port,) = folder / "store", free_ports(1)
    (store / "bucket").mkdir(parents=True)
    options = [f"--config={folder}/rclone.conf", f"--addr=127.0.0.1:{port}", f"--auth-key={KEY_ID},{SECRET}"]
    return Server(
        [program("rclone"), "serve", "s3", str(store), *options],
        port,
        "s3://bucket/study",
        store,
        {"endpointurl": f"http://127.0.0.1:{port}", "access_key_id": KEY_ID, "secret_access_key": SECRET},
        [KEY_ID, SECRET],
    )


SERVERS = {"ssh": ssh_server, "s3": s3_server}
READ_ONLY = ["-o", "ForceCommand=internal-sftp -R"]  # for Server.start of the SSH server


def program(name: str) -> str:
    """The path of a program; a test that needs one fails where it is missing."""
    folders = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
    if found := shutil.which(name, path=os.pathsep.join(folders)):
        return found
    raise RuntimeError(f"no program {name}: `make test` installs rclone, Debian's openssh-server has sshd")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def user() -> str:
    """The name of who runs this."""
    return pwd.getpwuid(os.getuid()).pw_name
