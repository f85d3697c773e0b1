"""A chain of the smoke study on a real Slurm cluster of one node (tests/helpers/cluster.py): the same entries in
dvc.lock as of a local run, though jobs are requeued and cancelled, and though the node's daemon is killed."""

import contextlib
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from snakemake.cli import parse_args

from orchard import jsonl, yamls
from orchard.rerun import warm
from tests.helpers.cluster import Cluster
from tests.helpers.project import CHAIN, COMPUTES, ROOT, Project

PROFILE = yamls.read(ROOT / "profiles/slurm/config.yaml")
# What this cluster is not: it has no accounting database, and answers faster than a real one.
OPTIONS = {
    "--profile": ["profiles/slurm"],
    "--slurm-status-command": ["squeue"],
    "--slurm-no-account": [],
    "--slurm-init-seconds-before-status-checks": ["2"],
    "--latency-wait": ["5"],
    "--cores": ["2"],
}
COMMAND = ["snakemake", *(word for option, values in OPTIONS.items() for word in (option, *values))]
RESUMABLE = ("base", "sft", "rl", "search", "recover")
DEADLINE = 1500  # seconds: ours, five times what the study takes here


@pytest.fixture(scope="module")
def cluster():
    """Its folder has a short name, since a socket's path may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    with Cluster(folder) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def disturbed(cluster, tmp_path_factory) -> tuple[Project, dict[str, "Work"]]:
    """A chain of the smoke study, run on Slurm: jobs are requeued and cancelled while they work, and slurmd is killed.

    Returns the project, and what was met by each disturbance.
    """
    project = Project.from_working_tree(tmp_path_factory.mktemp("slurm") / "project")
    cluster.serve(project)
    with (project.folder / "run.log").open("w") as log:
        main = subprocess.Popen([*COMMAND, "--", *CHAIN], cwd=project.folder, env=project.env, stdout=log, stderr=log)
        try:
            met = disturb(cluster, project, main)
            code = main.wait(DEADLINE)
        finally:
            main.kill()
    printed = (project.folder / "run.log").read_text()
    assert code == 0, f"{printed[-5000:]}\n{project.logs()}\n{cluster.logs()}"
    return project, met


class Work(NamedTuple):
    """A stage's command that runs in a job: the job's number, the command's process, its family and its run."""

    job: str
    process: psutil.Process
    family: str
    run: str

    @property
    def out(self) -> str:
        """What it writes."""
        return f"results/searches/{self.run}" if self.family == "search" else f"results/models/{self.family}-{self.run}"

    def has_resume_state(self, project: Project) -> bool:
        resume = project.folder / ".scratch/resume" / self.out
        return any(resume.glob("*/*.json" if self.family == "search" else "*/checkpoint-*/trainer_state.json"))


def disturb(cluster: Cluster, project: Project, main: subprocess.Popen) -> dict[str, Work]:
    """Requeues a job of each stage family that can go on from a resume state, once it has one; cancels evaluations; at
    last kills slurmd. No job is met twice.
    """
    met: dict[str, Work] = {}
    while main.poll() is None and len(met) < len(RESUMABLE) + 2:
        time.sleep(0.05)
        for work in working(cluster):
            if work.job in [other.job for other in met.values()]:
                continue
            if work.family in RESUMABLE and work.family not in met and work.has_resume_state(project):
                happened = requeue(cluster, work)
            elif work.family == "evaluate" and "cancel" not in met:
                happened = cancel(cluster, work)
            elif len(met) == len(RESUMABLE) + 1:
                happened = kill_slurmd(cluster, work)
            else:
                continue
            if happened:
                met[happened] = work
                break
    return met


def requeue(cluster: Cluster, work: Work) -> str:
    """Stops the command, so that it cannot end meanwhile; Slurm lets it go on, and ends it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        work.process.suspend()
        cluster.command("scontrol", "requeue", work.job)
        return work.family
    return ""


def cancel(cluster: Cluster, work: Work) -> str:
    """To Snakemake the job failed, and is tried again."""
    cluster.command("scancel", work.job)
    return "cancel"


def kill_slurmd(cluster: Cluster, work: Work) -> str:
    """It comes back after longer than slurmctld waits for it: the job is requeued as one lost with its node, though its
    processes live on, until slurmd ends them.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        work.process.suspend()
        cluster.kill_slurmd()
        cluster.wait_until(lambda: "down" in cluster.state() and work.job in cluster.jobs("pending"))
        cluster.start_slurmd()
        return "kill"
    return ""


def working(cluster: Cluster) -> list[Work]:
    """The jobs that run, and whose stage's own command does."""
    running = set(cluster.jobs("running"))
    found = []
    for process, environment, command in processes(cluster):
        stage_command = re.match(r"\S*python\S* -m orchard\.stages\.(\S+) (\S+)", command)
        if stage_command and environment["SLURM_JOB_ID"] in running:
            found.append(Work(environment["SLURM_JOB_ID"], process, *stage_command.groups()))
    return sorted(found, key=lambda work: int(work.job))


def processes(cluster: Cluster) -> list[tuple[psutil.Process, dict, str]]:
    """All that runs in jobs of the cluster, with its environment and its command."""
    found = [(process, process.info) for process in psutil.process_iter(["cmdline", "environ"])]
    return [
        (process, own["environ"], " ".join(own["cmdline"]))
        for process, own in found
        if own["environ"]
        and own["cmdline"]  # none of a process that ends meanwhile
        and own["environ"].get("SLURM_CONF") == cluster.env["SLURM_CONF"]
        and "SLURM_JOB_ID" in own["environ"]
    ]


def test_s8_slurm_gives_the_lock_file_of_a_local_run_whatever_happens_to_its_jobs(disturbed, cluster, finished):
    project, met = disturbed
    assert met.keys() == {*RESUMABLE, "cancel", "kill"}
    assert project.families() >= COMPUTES
    assert project.lock().items() <= finished.lock().items()
    planned = project.run("snakemake", "-n", "--", *CHAIN)
    assert "Nothing to be done" in planned.stdout + planned.stderr
    assert met["cancel"].job in cluster.jobs("cancelled")


@pytest.mark.parametrize("family", RESUMABLE)
def test_a_requeued_job_went_on_from_its_resume_state(disturbed, cluster, family):
    project, met = disturbed
    work = met[family]
    assert int(re.search(r"Restarts=(\d+)", cluster.command("scontrol", "show", "job", work.job)).group(1)) >= 1
    assert "goes on from" in (project.folder / f"logs/{work.out}.log").read_text()


def test_every_stage_was_a_slurm_job_and_small_ones_shared_one(disturbed):
    project, _ = disturbed
    printed = (project.folder / "run.log").read_text()
    submitted = len(re.findall(r"submitted with SLURM jobid", printed, re.IGNORECASE))
    evaluations = sum(name.startswith("evaluate@") for name in project.lock())
    assert submitted >= len(project.lock()) - evaluations
    assert not (project.folder / warm.LOG).exists(), "jobs are processes of their own on a cluster"
    assert re.search(r"Group job .*evaluations", printed) or re.search(r"group.*evaluations", printed)


def test_a_job_with_several_gpus_trains_in_as_many_processes(cluster, colleague, finished):
    """The first step's loss is that of one process; the second's is not, since the learning rate is another."""
    cluster.serve(colleague)
    colleague.set("sft.objectives.nll.learning_rate", 5.0e-4)
    before, ranks = set(cluster.jobs("all")), set()
    with (colleague.folder / "run.log").open("w") as log:
        command = [*COMMAND, "--set-resources", "sft:gpu=2", "--", "results/models/sft-nll-1"]
        main = subprocess.Popen(command, cwd=colleague.folder, env=colleague.env, stdout=log, stderr=log)
        while main.poll() is None:
            ranks |= {environment.get("RANK") for _, environment, _ in processes(cluster)}
            time.sleep(0.2)
    assert main.returncode == 0, (colleague.folder / "run.log").read_text() + colleague.logs()
    assert ranks >= {"0", "1"}
    asked = [cluster.command("scontrol", "show", "job", job) for job in set(cluster.jobs("all")) - before]
    assert [job for job in asked if "gpu:2" in job] == [job for job in asked if "rule_sft" in job]
    curves = [jsonl.read(p.folder / "results/models/sft-nll-1/curve.jsonl") for p in (colleague, finished)]
    first, second = ([step["loss"] for step in steps] for steps in zip(*curves, strict=True))
    assert first[0] == pytest.approx(first[1], rel=1e-5)
    assert second[0] != pytest.approx(second[1], rel=1e-5)


def test_a_job_that_fails_is_tried_with_more_memory_and_time_and_stops_no_other(cluster, tmp_path):
    project = Project.from_working_tree(tmp_path / "project")
    cluster.serve(project)
    project.edit(
        "src/orchard/stages/generate.py",
        "def main(name: str) -> None:\n",
        'def main(name: str) -> None:\n    1 / (name != "calc")\n',
    )
    before = set(cluster.jobs("all"))
    gres = ["--set-resources", "generate:gres=gpu:1", "--"]  # as where a cluster wants --gres
    done = project.run(*COMMAND, *gres, "data/eval/calc.jsonl", "data/eval/fact.jsonl", ok=False)
    assert done.returncode == 1
    assert "failed: logs/data/eval/calc.jsonl.log" in done.stdout + done.stderr
    assert (project.folder / "data/eval/fact.jsonl").is_file()
    asked = [
        cluster.command("scontrol", "show", "job", job) for job in sorted(set(cluster.jobs("all")) - before, key=int)
    ]
    assert all("gres:gpu:1" in job for job in asked)
    tried = [job for job in asked if "eval_calc" in job]
    assert [re.search(r"MinMemoryNode=(\w+)", job).group(1) for job in tried] == ["3000M", "6000M", "9000M"]
    assert [re.search(r"TimeLimit=(\S+)", job).group(1) for job in tried] == ["00:30:00", "01:00:00", "01:30:00"]


def test_the_profile_bounds_the_cores_of_a_job():
    """The default profile is read too and wins, so it must not say how many; a group is cut to what this says."""
    _, options = parse_args(["--profile", str(ROOT / "profiles/slurm")])
    assert (options.cores, options.jobs) == (PROFILE["cores"], PROFILE["jobs"])


def test_each_stage_family_has_its_own_line_in_the_profile():
    texts = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^use rule \w+ as (\w+) with:", texts, re.M)) - {"folder"}
    small = {"fetch", "generate", "ingest", "mix", "artifact", "report"}  # default-resources are theirs
    assert set(PROFILE["set-resources"]) == rules - small
    for own in PROFILE["set-resources"].values():
        assert set(own) == {"mem_mb", "runtime", "gpu"}
        assert "attempt" in own["mem_mb"]
