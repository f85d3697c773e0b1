"""The smoke study on a real Slurm cluster of one node (tests/cluster.py): the same dvc.lock as a local run, though jobs
are requeued, and though the node's daemon is killed."""

import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml
from snakemake.cli import parse_args

from orchard import stage
from tests.cluster import Cluster
from tests.project import ROOT, Project

PROFILE = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
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
DEADLINE = 1500  # seconds: ours, five times what the study takes here


@pytest.fixture(scope="module")
def cluster():
    """Its folder has a short name, since a socket's path may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    with Cluster(folder) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def disturbed(cluster, tmp_path_factory) -> tuple[Project, Counter]:
    """The smoke study, run on Slurm: jobs are requeued and cancelled while they work, and slurmd is killed.

    Returns the project, and how often each disturbance happened.
    """
    project = Project.from_working_tree(tmp_path_factory.mktemp("slurm") / "project")
    cluster.serve(project)
    with (project.folder / "run.log").open("w") as log:
        main = subprocess.Popen(COMMAND, cwd=project.folder, env=project.env, stdout=log, stderr=log)
        try:
            happened = disturb(cluster, project, main)
            code = main.wait(DEADLINE)
        finally:
            main.kill()
    told = (project.folder / "run.log").read_text()
    assert code == 0, f"{told[-5000:]}\n{project.logs()}\n{cluster.logs()}"
    return project, happened


def disturb(cluster: Cluster, project: Project, main: subprocess.Popen) -> Counter:
    """Each disturbance meets a job that none has met: first the base model's, once it has a checkpoint."""
    checkpoint = project.folder / ".scratch/resume/results/models/base-tiny/checkpoint-30/trainer_state.json"
    happened, met = Counter(), set()
    for disturbance in (requeue, requeue, requeue, cancel, kill_slurmd):
        jobs = []
        while main.poll() is None and not jobs:
            time.sleep(0.1)
            jobs = [job for job in working(cluster) if job not in met and (met or checkpoint.exists())]
        if jobs:
            happened[disturbance.__name__] += disturbance(cluster, jobs[0])
            met.add(jobs[0])
    return happened


def requeue(cluster: Cluster, job: str) -> bool:
    """Returns whether Slurm ended the job to start it again."""
    cluster.command("scontrol", "requeue", job)
    cluster.wait_until(lambda: job not in cluster.jobs("running,completing"))
    return "Restarts=1" in cluster.command("scontrol", "show", "job", job)


def cancel(cluster: Cluster, job: str) -> bool:
    """Returns whether Slurm ended the job for good; to Snakemake it failed, and is tried again."""
    cluster.command("scancel", job)
    cluster.wait_until(lambda: job not in cluster.jobs("running,completing"))
    return job in cluster.jobs("cancelled")


def kill_slurmd(cluster: Cluster, job: str) -> bool:
    """It comes back after longer than slurmctld waits for it.

    Returns whether the job was then requeued as one lost with its node, or had ended, since its processes live on.
    """
    cluster.kill_slurmd()
    cluster.wait_until(lambda: "down" in cluster.state())
    settled = job in cluster.jobs("pending,completed")
    cluster.start_slurmd()
    return settled


def working(cluster: Cluster) -> list[str]:
    """The jobs that run, and whose stage's own command does."""
    found = {
        environment["SLURM_JOB_ID"]
        for environment, command in processes(cluster)
        if re.search(r"python\S* -m orchard\.(?!job )", command)
    }
    return sorted(found & set(cluster.jobs("running")), key=int)


def processes(cluster: Cluster) -> list[tuple[dict, str]]:
    """The environment and the command of all that runs in jobs of the cluster."""
    found = [process.info for process in psutil.process_iter(["cmdline", "environ"])]
    return [
        (own["environ"], " ".join(own["cmdline"]))
        for own in found
        if own["environ"]
        and own["environ"].get("SLURM_CONF") == cluster.env["SLURM_CONF"]
        and "SLURM_JOB_ID" in own["environ"]
    ]


def test_s8_slurm_gives_the_lock_file_of_a_local_run(disturbed, finished):
    project, happened = disturbed
    assert happened == {"requeue": 3, "cancel": 1, "kill_slurmd": 1}
    assert project.lock() == finished.lock()
    assert "Nothing to be done" in project.snakemake("-n")


def test_every_stage_was_a_slurm_job_and_small_ones_shared_one(disturbed):
    project, _ = disturbed
    told = (project.folder / "run.log").read_text()
    submitted = len(re.findall(r"submitted with SLURM jobid", told, re.IGNORECASE))
    evaluations = sum(name.startswith("evaluate@") for name in project.lock())
    assert submitted >= len(project.lock()) - evaluations
    assert re.search(r"Group job .*evaluations", told) or re.search(r"group.*evaluations", told)


def test_a_job_with_several_gpus_trains_in_as_many_processes(cluster, colleague, finished):
    """The first step's loss is that of one process; the second's is not, since the learning rate is another."""
    cluster.serve(colleague)
    colleague.set("sft.objectives.nll.learning_rate", 5.0e-4)
    before, ranks = set(cluster.jobs("all")), set()
    with (colleague.folder / "run.log").open("w") as log:
        command = [*COMMAND, "--set-resources", "sft:gpu=2", "--", "results/models/sft-nll-1"]
        main = subprocess.Popen(command, cwd=colleague.folder, env=colleague.env, stdout=log, stderr=log)
        while main.poll() is None:
            ranks |= {environment.get("RANK") for environment, _ in processes(cluster)}
            time.sleep(0.2)
    assert main.returncode == 0, (colleague.folder / "run.log").read_text() + colleague.logs()
    assert ranks >= {"0", "1"}
    asked = [cluster.command("scontrol", "show", "job", job) for job in set(cluster.jobs("all")) - before]
    assert [job for job in asked if "gpu:2" in job] == [job for job in asked if "rule_sft" in job]
    curves = [stage.read_jsonl(p.folder / "results/models/sft-nll-1/curve.jsonl") for p in (colleague, finished)]
    first, second = ([step["loss"] for step in steps] for steps in zip(*curves, strict=True))
    assert first[0] == pytest.approx(first[1], rel=1e-5)
    assert second[0] != pytest.approx(second[1], rel=1e-5)


def test_a_job_that_fails_is_tried_with_more_memory_and_time_and_stops_no_other(cluster, tmp_path):
    project = Project.from_working_tree(tmp_path / "project")
    cluster.serve(project)
    project.edit(
        "src/orchard/generate.py", "def main() -> None:\n", 'def main() -> None:\n    1 / (sys.argv[1] != "calc")\n'
    )
    before = set(cluster.jobs("all"))
    done = project.run(*COMMAND, "data/eval/calc.jsonl", "data/eval/fact.jsonl", ok=False)
    assert done.returncode == 1
    assert "failed: logs/generate-eval-calc.log" in done.stdout + done.stderr
    assert (project.folder / "data/eval/fact.jsonl").is_file()
    asked = [
        cluster.command("scontrol", "show", "job", job) for job in sorted(set(cluster.jobs("all")) - before, key=int)
    ]
    tried = [job for job in asked if "eval_calc" in job]
    assert [re.search(r"MinMemoryNode=(\w+)", job).group(1) for job in tried] == ["3000M", "6000M", "9000M"]
    assert [re.search(r"TimeLimit=(\S+)", job).group(1) for job in tried] == ["00:30:00", "01:00:00", "01:30:00"]


def test_the_profile_bounds_the_cores_of_a_job():
    """The default profile is read too and wins, so it must not say how many; a group is cut to what this says."""
    _, options = parse_args(["--profile", str(ROOT / "profiles/slurm")])
    assert (options.cores, options.jobs) == (PROFILE["cores"], PROFILE["jobs"])


def test_each_stage_family_has_its_own_line_in_the_profile():
    rules = set(re.findall(r"^rule (\w+):", "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk")), re.M))
    small = {"fetch", "generate", "ingest", "mix", "artifact", "report"}  # default-resources are theirs
    assert set(PROFILE["set-resources"]) == rules - small
    for own in PROFILE["set-resources"].values():
        assert set(own) == {"mem_mb", "runtime", "gpu"}
        assert "attempt" in own["mem_mb"]
