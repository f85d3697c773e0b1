"""Where everything lies: each path of a project, named once, from the project's root (the working folder).

dvc.yaml says which stage writes which of these; a stage that wrote elsewhere would fail, because DVC checks its output.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

# What a study is made of
CONFIG = Path("config.yaml")
STUDIES = Path("studies")
PARAMS = Path("params.yaml")
PROFILES = Path("profiles")
REQUIREMENTS = Path("requirements.lock")

# What DVC keeps
GRAPH = Path("dvc.yaml")
LOCK = Path("dvc.lock")
DVC_SCRATCH = Path(".dvc/tmp")
DVC_LOCAL = Path(".dvc/config.local")

# What stages write
DATA = Path("data")
RESULTS = Path("results")
REPORT = RESULTS / "report"
EVALUATIONS = RESULTS / "evals"
SUITES = ".suites"  # ends the folder of a model's evaluations where there are several
ARTIFACTS = RESULTS / "artifacts"

# What a run leaves beside them, and git does not keep
LOGS = Path("logs")
BENCHMARKS = LOGS / "benchmarks"
PROGRESS = LOGS / "progress"
SCRATCH = Path(".scratch")
RESUME = SCRATCH / "resume"
SET_ASIDE = SCRATCH / "studies"
LAST_STUDY = SCRATCH / "last-study"

# What Snakemake keeps, and a run beside it
SNAKEMAKE = Path(".snakemake")
RUNNING = SNAKEMAKE / "orchard.lock"  # held by the one run of the folder
BEGAN = SNAKEMAKE / "orchard.began.json"  # what the last run began with

# What was measured apart and is read by stages and commands, because times differ from run to run
STEP_TIMES = Path("measured/step_times.csv")
SPEEDS = Path("measured/speed.csv")
COSTS = Path("measured/costs.csv")

# Where findings are published
README = Path("README.md")
DOCS_REPORT = Path("docs/report")
RELEASES = Path("release")


def data_set(role: str, name: str) -> Path:
    """A generated or ingested set of items."""
    return DATA / role / f"{name}.jsonl"


def fetched(name: str, kind: str = "") -> Path:
    """The folder of something from outside. The data of lm-eval's tasks lie with what models are asked."""
    return DATA / ("eval" if kind == "lm-eval-data" else "fetched") / name


def samples(family: str, name: str) -> Path:
    """The folder of the shards of what a model wrote for a run of ``behave`` or ``respond``."""
    return DATA / "samples" / family / name


def behaviour(policy: str) -> Path:
    """The folder of a behaviour policy's offline data."""
    return DATA / "behave" / policy


def responses(name: str) -> Path:
    """The responses to the recovery prompts: of a model and an author."""
    return DATA / "responses" / f"{name}.jsonl"


def model(name: str) -> Path:
    """The folder of a model, by its name in the study: ``base-tiny``, ``sft-nll-1``."""
    return RESULTS / "models" / name


def search(of: str) -> Path:
    """The folder of a greedy search over a model's layers."""
    return RESULTS / "searches" / of


def evaluation(of: str, suite: str | None = None) -> Path:
    """The folder of a model's evaluation; where there are suites, of one. All of a model's lie in one folder.

    With suites that folder has another name than the evaluation without any, so that none lies in the other.
    """
    return EVALUATIONS / of if suite is None else EVALUATIONS / f"{of}{SUITES}" / suite


def evaluations(within: Path = EVALUATIONS) -> Iterator[tuple[str, Path]]:
    """Each evaluation's folder, with the name of its model: of a model with several suites there are several."""
    for folder in sorted(filter(Path.is_dir, within.glob("*"))):
        inside = sorted(filter(Path.is_dir, folder.glob("*"))) if folder.name.endswith(SUITES) else [folder]
        yield from ((folder.name.removesuffix(SUITES), each) for each in inside)


def artifact(role: str) -> Path:
    """The folder of a model that is handed out by name."""
    return ARTIFACTS / role


def overlapping(path: str, others: Iterable[str]) -> list[str]:
    """Those of some paths that a path is, holds or lies in. All are written with slashes, from the project's root."""
    return [other for other in others if other == path or other.startswith(f"{path}/") or path.startswith(f"{other}/")]


def from_root(path: str | os.PathLike) -> str:
    """A path as dvc.lock writes it: from the project's root, with slashes. One that lies elsewhere stays as it is."""
    absolute = Path.cwd() / path
    try:
        return Path(absolute.parent.resolve(), absolute.name).relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)
