"""What stages cost: the durations that come with the project, and those of this folder's runs."""

import csv
from pathlib import Path

BENCHMARKS = Path("logs/benchmarks")
SHIPPED = Path("docs/costs.csv")  # columns: family, seconds (mean wall time of a stage on one core), stages


def expected(stages: list[str]) -> tuple[float, int]:
    """The sum of the stages' expected seconds on one core, and how many stages have no known duration."""
    shipped = {row["family"]: float(row["seconds"]) for row in _rows(SHIPPED, ",")}
    known = [shipped[family(stage)] for stage in stages if family(stage) in shipped]
    return sum(known), len(stages) - len(known)


def family(stage: str) -> str:
    """The stage family of an instance: `sft` of `sft@nll-1`."""
    return stage.split("@")[0]


def measured() -> list[dict]:
    """Family and wall seconds of each job of this folder, from Snakemake's benchmark files."""
    return [
        {"family": file.stem.split("-")[0], "seconds": float(row["s"])}
        for file in sorted(BENCHMARKS.glob("*.tsv"))
        for row in _rows(file, "\t")
    ]


def _rows(file: Path, delimiter: str) -> list[dict]:
    if not file.is_file():
        return []
    with file.open() as lines:
        return list(csv.DictReader(lines, delimiter=delimiter))
