"""Puts a run's findings where readers of the repository see them: docs, the README's claims table, expected costs."""

import csv
import shutil
from pathlib import Path

from orchard import paths
from orchard.errors import UserError
from orchard.lineage import costs, lock

BEGIN, END = "<!-- claims: written by `make publish` -->", "<!-- /claims -->"


def publish() -> str:
    """Copies tables and figures of results/report to docs/report, the claims table into the README; writes costs.csv.

    Raises:
        UserError: there is no report yet.
    """
    copy_report(paths.DOCS_REPORT)
    before, _, rest = paths.README.read_text().partition(BEGIN)
    paths.README.write_text(
        f"{before}{BEGIN}\n{table((paths.DOCS_REPORT / 'summary.md').read_text())}\n{END}{rest.partition(END)[2]}"
    )
    write_costs()
    return f"{paths.DOCS_REPORT}, {paths.README} and {paths.COSTS} show the run in results/"


def publish_beside(folder: Path) -> str:
    """Copies tables and figures of results/report to a folder of their own, with the dvc.lock that names what was made.

    For studies other than the one that the README shows.

    Raises:
        UserError: there is no report yet.
    """
    copy_report(folder)
    (folder / "dvc.lock").write_text(own_lock())
    return f"{folder} shows the run in results/"


def own_lock() -> str:
    """The text of dvc.lock, which keeps other studies' stages too, with those alone that the report rests on."""
    stages = lock.present(lock.read())
    steps = [step for folder in paths.EVALUATIONS.iterdir() for step in lock.chain(str(folder), stages)]
    return lock.of_stages(paths.LOCK.read_text(), {step["stage"] for step in steps} | {"report"})


def copy_report(folder: Path) -> None:
    """Replaces the content of a folder by the report's summary, tables and pictures."""
    if not (paths.REPORT / "summary.md").is_file():
        raise UserError(
            found=f"no {paths.REPORT}/summary.md",
            rule="a run comes before its publication",
            why="the numbers are its own",
            fix="run `snakemake --cores all`",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in [paths.REPORT / "summary.md", *sorted(paths.REPORT.glob("*.csv")), *sorted(paths.REPORT.glob("*.png"))]:
        shutil.copy(file, folder)


def table(summary: str) -> str:
    """The claims table alone: the lines of a Markdown summary that begin with a bar."""
    return "\n".join(line for line in summary.splitlines() if line.startswith("|"))


def write_costs() -> None:
    """The mean wall time of one stage of each family, from this folder's benchmarks."""
    seconds: dict[str, list[float]] = {}
    for row in costs.by_stage():
        seconds.setdefault(row["family"], []).append(60 * row["minutes"])
    with paths.COSTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["family", "seconds", "stages"])
        writer.writerows(
            [name, round(sum(times) / len(times), 1), len(times)] for name, times in sorted(seconds.items())
        )
