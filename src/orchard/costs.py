"""What stages cost: the durations that come with the project, and those of this folder's runs.

Times differ from run to run, so they stand in logs/, beside the outputs that DVC tracks and not among them.
"""

import csv
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

BENCHMARKS = Path("logs/benchmarks")
PAGE = Path("logs/costs.html")  # the report links to it
COLUMNS = ["family", "stages", "minutes", "CPU minutes", "peak memory, MiB"]
SHIPPED = Path("docs/costs.csv")  # columns: family, seconds (mean wall time of a stage on one core), stages


def expected(stages: list[str]) -> tuple[float, int]:
    """The sum of the stages' expected seconds on one core, and how many stages have no known duration."""
    known = durations(stages)
    return sum(known.values()), len(stages) - len(known)


def durations(stages: Iterable[str]) -> dict[str, float]:
    """The expected seconds of each stage whose duration is known: its own in this folder, or its family's mean."""
    shipped = {row["family"]: float(row["seconds"]) for row in _rows(SHIPPED, ",")}
    own = {stage: float(row["s"]) for stage, file in ran().items() for row in _rows(file, "\t")}
    known = {stage: own.get(stage, shipped.get(family(stage))) for stage in stages}
    return {stage: seconds for stage, seconds in known.items() if seconds is not None}


def ran() -> dict[str, Path]:
    """The benchmark file of each stage whose command the last job ran; one that only restored its output is quick."""
    return {
        name: BENCHMARKS / f"{log.stem}.tsv"
        for log in BENCHMARKS.parent.glob("*.log")
        for name in re.findall(r"^Running stage '(.+)':", log.read_text(errors="replace"), re.MULTILINE)
    }


def family(stage: str) -> str:
    """The stage family of an instance: `sft` of `sft@nll-1`."""
    return stage.split("@")[0]


def by_stage() -> list[dict]:
    """A row of COLUMNS, with the stage's name instead of their number, for each stage that ran in this folder.

    Snakemake looks at a job's CPU time and memory now and then, so those of stages of a few seconds are too low.
    """
    return [
        {
            "family": file.stem.split("-")[0],
            "stage": file.stem,
            "minutes": float(row["s"]) / 60,
            "CPU minutes": _number(row["cpu_time"]) / 60,
            "peak memory, MiB": _number(row["max_rss"]),
        }
        for file in sorted(BENCHMARKS.glob("*.tsv"))
        for row in _rows(file, "\t")
    ]


def by_family(stages: list[dict]) -> list[dict]:
    """A row of COLUMNS for each family of stages, the dearest first; minutes as if one ran after the other."""
    found: dict[str, list[dict]] = {}
    for stage in stages:
        found.setdefault(stage["family"], []).append(stage)
    rows = [
        {"family": name, "stages": len(own)}
        | {column: sum(stage[column] for stage in own) for column in ("minutes", "CPU minutes")}
        | {"peak memory, MiB": max(stage["peak memory, MiB"] for stage in own)}
        for name, own in found.items()
    ]
    return sorted(rows, key=lambda row: -row["minutes"])


def _number(text: str) -> float:
    """A number of a benchmark file; a dash or NA stands where a job was too short to be looked at."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def write_page() -> None:
    """Writes what this folder's runs cost to logs/costs.html and, by family, logs/costs.csv; nothing if none ran."""
    if not (stages := by_stage()):
        return
    families = [_rounded(row) for row in by_family(stages)]
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    with PAGE.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(families)
    each = sorted(map(_rounded, stages), key=lambda row: -row["minutes"])
    PAGE.write_text(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>orchard: what stages cost</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><style>body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:auto;padding:1rem}'
        "div{overflow-x:auto}th,td{text-align:left;padding:.3rem .8rem .3rem 0}</style></head><body>"
        "<h1>What stages cost</h1>"
        "<p>Wall and CPU minutes of all stages of a family, as if one ran after the other, and the most memory of one; "
        "from Snakemake's benchmarks of the runs in this folder. Short stages' CPU time and memory are too low.</p>"
        f"{_table(families, COLUMNS)}<h2>Each stage</h2>{_table(each, ['stage', *COLUMNS[2:]])}</body></html>\n"
    )


def _rounded(row: dict) -> dict:
    """Minutes to a tenth, memory to a MiB."""
    digits = {"minutes": 1, "CPU minutes": 1, "peak memory, MiB": None}
    return {name: round(value, digits[name]) if name in digits else value for name, value in row.items()}


def _table(rows: list[dict], columns: list[str]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(row[name]))}</td>" for name in columns) + "</tr>" for row in rows)
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _rows(file: Path, delimiter: str) -> list[dict]:
    if not file.is_file():
        return []
    with file.open() as lines:
        return list(csv.DictReader(lines, delimiter=delimiter))
