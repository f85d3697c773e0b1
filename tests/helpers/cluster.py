"""A Slurm cluster of one node on this machine, on loopback: munged, slurmctld and slurmd, in a folder of their own.

The node has two GPUs in name: Slurm counts two devices that every machine has as such.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.helpers.project import Project
from tests.helpers.servers import free_ports, user

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
WITHIN = 60  # seconds for a daemon to answer: ours, they take two on an idle machine
MEMORY = 16000  # MiB that jobs may ask for together, whether or not the machine has them: ours


class Cluster:
    """Started on entering, ended by process id on leaving; ``env`` makes Slurm's commands speak to it.

    Args:
        folder: for its configuration, state and logs; a short path, since a socket's may have 107 characters.
        cpus: that its node offers.
    """

    def __init__(self, folder: Path, cpus: int = 2):
        self.folder, self.cpus = folder, cpus
        self.daemons: dict[str, subprocess.Popen] = {}
        path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"], "/usr/sbin"])
        self.env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}

    def __enter__(self) -> "Cluster":
        missing = [name for name in PROGRAMS if not shutil.which(name, path=self.env["PATH"])]
        assert not missing, f"{missing} not installed: apt install slurmctld slurmd slurm-client munge (.ci/run does)"
        try:
            self.start_all()
        except BaseException:
            self.stop_all()
            raise
        return self

    def serve(self, project: Project) -> None:
        """Lets a project's commands speak to this cluster."""
        project.env |= {"SLURM_CONF": self.env["SLURM_CONF"]}
        project.env["PATH"] = f"{self.folder}/bin:{project.env['PATH']}:/usr/sbin"

    def start_all(self) -> None:
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True, mode=0o700)
        (self.folder / "munge/key").write_bytes(os.urandom(128))
        (self.folder / "munge/key").chmod(0o600)
        self.write_configuration()
        self.write_srun()
        self.start_munged()
        self.start("slurmctld", "-D", "-i", "-f", self.env["SLURM_CONF"])
        self.start_slurmd()

    def __exit__(self, *_) -> None:
        subprocess.run(["scancel", "--full", "--user", str(os.getuid())], env=self.env, capture_output=True)
        self.wait_until(lambda: not self.jobs())
        self.stop_all()

    def stop_all(self) -> None:
        for name in ("slurmd", "slurmctld", "munged"):
            self.stop(name, signal.SIGTERM)

    def write_configuration(self) -> None:
        host, (controller, node) = socket.gethostname(), free_ports(2)
        (self.folder / "slurm.conf").write_text(f"""
ClusterName=orchard
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user()}
SlurmdUser={user()}
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
GresTypes=gpu
KillWait=2
MinJobAge=86400
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={self.cpus} RealMemory={MEMORY} Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
""")

        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")

    def write_srun(self) -> None:
        """Snakemake's executor takes Slurm's variables away from srun, which would look for a system's cluster."""
        srun = self.folder / "bin/srun"
        srun.parent.mkdir()
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.env["SLURM_CONF"]} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def start_munged(self) -> None:
        """Munge refuses folders that others can write to, as those above a temporary one: --force lets it go on."""
        place = self.folder / "munge"
        self.start(
            "munged", "--foreground", "--force", f"--socket={place}/socket", f"--key-file={place}/key",
            f"--pid-file={place}/pid", f"--seed-file={place}/seed", f"--log-file={place}/log",
        )  # fmt: skip
        self.wait_until((place / "socket").exists)

    def start_slurmd(self) -> None:
        self.start("slurmd", "-D", "-f", self.env["SLURM_CONF"])
        self.wait_until(
            lambda: self.command("sinfo", "--noheader", "--format=%T").strip() in ("idle", "mixed", "allocated")
        )

    def kill_slurmd(self) -> None:
        """The node's daemon dies without a word; its jobs' processes live on."""
        self.stop("slurmd", signal.SIGKILL)

    def state(self) -> str:
        """What the node does, in Slurm's words."""
        return self.command("sinfo", "--noheader", "--format=%T").strip()

    def start(self, name: str, *options: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen([name, *options], env=self.env, stdout=out, stderr=out)

    def stop(self, name: str, sign: signal.Signals) -> None:
        if daemon := self.daemons.pop(name, None):
            daemon.send_signal(sign)
            daemon.wait()

    def command(self, *words: str) -> str:
        """What one of Slurm's commands prints."""
        return subprocess.run(words, env=self.env, capture_output=True, text=True).stdout

    def jobs(self, state: str = "running,pending,completing") -> list[str]:
        """The numbers of the jobs in a state."""
        return self.command("squeue", "--noheader", "--format=%i", f"--states={state}").split()

    def wait_until(self, holds, seconds: float = WITHIN) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"the cluster does not answer:\n{self.logs()}"
            time.sleep(0.2)

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "".join(f"\n--- {file.name}\n{file.read_text()[-1500:]}" for file in self.folder.glob("*.log"))
