"""What stages cost: the durations that come with the project, and those of this folder's runs.

Times differ from run to run, so they stand in logs/, beside the outputs that DVC tracks and not among them.
"""

import csv
import math
import re
from collections.abc import Iterable
from pathlib import Path

from orchard import paths, processes
from orchard.errors import UserError


def expected(stages: list[str]) -> tuple[float, int]:
    """The sum of the stages' expected seconds on one core, and how many stages have no known duration."""
    known = durations(stages)
    return sum(known.values()), len(stages) - len(known)


def durations(stages: Iterable[str]) -> dict[str, float]:
    """The expected seconds of each stage whose duration is known: its own in this folder, or its family's mean."""
    mean = shipped()
    own = {stage: seconds(log) for stage, log in ran().items()}
    known = {stage: own.get(stage) or mean.get(stage.partition("@")[0]) for stage in stages}
    return {stage: took for stage, took in known.items() if took is not None}


def ran() -> dict[str, Path]:
    """The log of each stage whose command the last job ran; one that only restored its output is quick."""
    return {
        name: log
        for log in paths.LOGS.rglob("*.log")
        for name in re.findall(r"^Running stage '(.+)':", log.read_text(errors="replace"), re.MULTILINE)
    }


def seconds(log: Path) -> float | None:
    """How long the job of a log took, as Snakemake measured it; None if it did not end well."""
    rows = _rows(paths.BENCHMARKS / log.relative_to(paths.LOGS).with_suffix(".tsv"))
    return float(rows[0]["s"]) if rows else None


def by_stage() -> list[dict]:
    """For each stage that ran in this folder its family, minutes, CPU minutes and peak memory in MiB.

    CPU time and memory are what the stage's processes said of themselves at their ends.
    """
    rows = []
    for stage, log in sorted(ran().items()):
        if (took := seconds(log)) is not None:
            used = processes.COST_SAID.findall(log.read_text(errors="replace"))
            rows.append(
                {
                    "family": stage.partition("@")[0],
                    "stage": stage,
                    "minutes": took / 60,
                    "cpu_minutes": sum(float(cpu) for cpu, _ in used) / 60,
                    "peak_mib": max((float(peak) for _, peak in used), default=0.0),
                }
            )
    return rows


def by_family(stages: list[dict]) -> list[dict]:
    """The same by family, the dearest first, with the number of stages; minutes as if one ran after the other."""
    found: dict[str, list[dict]] = {}
    for stage in stages:
        found.setdefault(stage["family"], []).append(stage)
    rows = [
        {"family": name, "stages": len(own), "peak_mib": max(stage["peak_mib"] for stage in own)}
        | {column: sum(stage[column] for stage in own) for column in ("minutes", "cpu_minutes")}
        for name, own in found.items()
    ]
    return sorted(rows, key=lambda row: -row["minutes"])


def table() -> str:
    """What this folder's runs cost by family, as text."""
    if not (rows := by_family(by_stage())):
        return f"No run in this folder has left its times in {paths.BENCHMARKS}."
    lines = [f"{'family':10} {'stages':>7} {'minutes':>8} {'CPU minutes':>12} {'peak memory, MiB':>17}"]
    lines += [
        f"{row['family']:10} {row['stages']:7} {row['minutes']:8.1f} {row['cpu_minutes']:12.1f} {row['peak_mib']:17.0f}"
        for row in rows
    ]
    note = "Minutes as if one stage ran after the other. Memory counts libraries that stages share, for each anew."
    return "\n".join([*lines, "", note])


def shipped() -> dict[str, float]:
    """The mean seconds of each family that come with the project.

    Raises:
        UserError: measured/costs.csv is broken.
    """
    if not paths.COSTS.is_file():
        return {}
    try:
        with paths.COSTS.open(encoding="utf-8", newline="") as lines:
            found = {row["family"]: float(row["seconds"]) for row in csv.DictReader(lines, strict=True)}
        if not all(0 <= seconds < math.inf for seconds in found.values()):
            raise ValueError("a time that is negative or no number")
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            found=f"{paths.COSTS}: {type(error).__name__}: {error}"[:300],
            rule="it has the columns family and seconds, and a time in each line",
            why="the time that a run takes is foretold from it",
            fix=f"`git checkout {paths.COSTS}`",
        ) from None
    return found


def _rows(file: Path) -> list[dict]:
    """The lines of a benchmark file; none of one that a kill cut."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", errors="replace") as lines:
        return [row for row in csv.DictReader(lines, delimiter="\t") if row.get("s") and None not in row.values()]
