"""Puts a run's findings where readers of the repository see them: docs, the README's claims table, expected costs."""

import csv
import hashlib
import os
from pathlib import Path

from orchard import links, paths
from orchard.errors import UserError
from orchard.lineage import costs, lock

BEGIN, END = "<!-- claims: written by `make publish` -->", "<!-- /claims -->"
MADE = ".published"  # in a folder that a publication made: the names and hashes of what it wrote


def publish() -> str:
    """Copies tables and figures of results/report to docs/report, the claims table into the README; writes costs.csv.

    With them goes params.yaml, by which a later run knows the published one of its study (`orchard.lineage.published`).

    Raises:
        UserError: there is no report yet, or docs/report has something that this did not write.
    """
    replace(paths.DOCS_REPORT, report() | {paths.PARAMS.name: paths.PARAMS.read_bytes()})
    before, _, rest = paths.README.read_text().partition(BEGIN)
    links.write_own(
        paths.README,
        f"{before}{BEGIN}\n{table((paths.DOCS_REPORT / 'summary.md').read_text())}\n{END}{rest.partition(END)[2]}",
    )
    write_costs()
    return f"{paths.DOCS_REPORT}, {paths.README} and {paths.COSTS} show the run in results/"


def publish_beside(folder: Path) -> str:
    """Copies tables and figures of results/report to a folder of their own, with the dvc.lock that names what was made.

    For studies other than the one that the README shows.

    Raises:
        UserError: there is no report yet, or the folder has something that this did not write.
    """
    replace(folder, report() | {"dvc.lock": own_lock().encode()})
    return f"{folder} shows the run in results/"


def own_lock() -> str:
    """The text of dvc.lock, which keeps other studies' stages too, with those alone that the report rests on."""
    stages = lock.present(lock.read())
    folders = paths.EVALUATIONS.iterdir() if paths.EVALUATIONS.is_dir() else ()
    steps = [step for folder in folders for step in lock.chain(str(folder), stages)]
    return lock.of_stages(paths.LOCK.read_text(), {step["stage"] for step in steps} | {"report"})


def report() -> dict[str, bytes]:
    """The report's summary, tables and pictures by name.

    Raises:
        UserError: there is no report yet.
    """
    if not (paths.REPORT / "summary.md").is_file():
        raise UserError(
            found=f"no {paths.REPORT}/summary.md",
            rule="a run comes before its publication",
            why="the numbers are its own",
            fix="run `snakemake --cores all`",
        )
    files = [paths.REPORT / "summary.md", *sorted(paths.REPORT.glob("*.csv")), *sorted(paths.REPORT.glob("*.png"))]
    return {file.name: file.read_bytes() for file in files}


def replace(folder: Path, files: dict[str, bytes]) -> None:
    """Replaces what was published in a folder; it is new, empty, or has only what this wrote and nobody changed.

    Args:
        folder: where the files go, and a list of them with their hashes, by which the next publication knows them.
        files: their contents by name.

    Raises:
        UserError: the folder has something else, or is reached through a link. Nothing is changed then.
    """
    folder = Path(os.path.relpath(folder))
    links.refuse(folder)
    refuse_other_files(folder)
    for name in written(folder):
        (folder / name).unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    links.write_own(folder / MADE, "".join(f"{md5(content)}  {name}\n" for name, content in files.items()))


def refuse_other_files(folder: Path) -> None:
    """Raises a UserError if a folder has a file that was not published there, or was changed since."""
    if not os.path.lexists(folder):
        return
    made = written(folder)
    for file in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
        is_own = (
            file.name in made and file.is_file() and not file.is_symlink() and md5(file.read_bytes()) == made[file.name]
        )
        if not is_own and (file.name != MADE or file.is_symlink()):
            raise UserError(
                found=f"{file}, which `orchard publish` did not write, or which was changed since",
                rule="a report is published in a folder of its own: new, empty, or as an earlier publication left it",
                why="what is published replaces all that lies there",
                fix="name another folder, or move what you want to keep and empty this one",
            )


def written(folder: Path) -> dict[str, str]:
    """The MD5 of each file that the last publication wrote into a folder and that is still there."""
    if not (folder / MADE).is_file():
        return {}
    lines = (folder / MADE).read_text(encoding="utf-8", errors="replace").splitlines()
    named = {name: hashed for hashed, _, name in (line.partition("  ") for line in lines) if name == Path(name).name}
    return {name: hashed for name, hashed in named.items() if (folder / name).is_file()}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def table(summary: str) -> str:
    """The claims table alone: the lines of a Markdown summary that begin with a bar."""
    return "\n".join(line for line in summary.splitlines() if line.startswith("|"))


def write_costs() -> None:
    """The mean wall time of one stage of each family, from this folder's benchmarks."""
    seconds: dict[str, list[float]] = {}
    for row in costs.by_stage():
        seconds.setdefault(row["family"], []).append(60 * row["minutes"])
    with links.open_own(paths.COSTS, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["family", "seconds", "stages"])
        writer.writerows(
            [name, round(sum(times) / len(times), 1), len(times)] for name, times in sorted(seconds.items())
        )
