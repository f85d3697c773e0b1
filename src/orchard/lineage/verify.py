"""Whether what dvc.lock records is what the code, the config and the stage graph would make now.

It needs no data, no cache and no remote: dvc.lock has the hash of all that a stage read and wrote. What cannot be known
without data: whether a folder of several folders (results/evals) is the one that its reader read, unless DVC's cache
has the lists of their files; it counts as unchanged while none of the stages that fill it is stale. Nor is a stage
run again: that the same inputs give the same output is for the tests, not for this.
"""

import difflib
from pathlib import Path

from orchard import paths
from orchard.errors import UserError
from orchard.lineage.leaves import MISSING
from orchard.lineage.project import ABSENT, Project, opened, short, some
from orchard.study import load, params

MOST_LINES = 8  # of params.yaml's differences: ours, enough to see which keys they are


def verify() -> tuple[str, int]:
    """What is stale and why, as text, and the exit status: 0 if all of dvc.lock matches, else 1.

    Raises:
        UserError: a file cannot be read, or there is no dvc.lock.
    """
    implied = params.text(load.load())
    with opened() as project:
        if not project.lock:
            raise UserError(
                found=f"no stage in {paths.LOCK}",
                rule="a run comes before its check",
                why="it records what ran",
                fix="`snakemake --cores all`",
            )
        stale, behind = project.judge({stage.out: project.recorded(stage) for stage in project.stages.values()})
        edited, present = outputs_here(project)
        found = [
            params_changes(implied),
            stale_text(project, stale),
            behind_text(project, behind),
            edited,
        ]
        report = published_text(project, {*stale, *behind})
    parts = [summary(project, stale, behind, present), *filter(None, [*found, report])]
    return "\n\n".join(parts), int(any(found))


def summary(project: Project, stale: dict, behind: dict, present: str) -> str:
    """Counts: what stands, what does not, what is here."""
    count = len(project.stages)
    left = len(set(project.lock) - set(project.stages))
    lines = [
        f"dvc.lock against code, {paths.CONFIG} and dvc.yaml: "
        f"of {count} outputs, {count - len(stale) - len(behind)} are what these make, "
        f"{len(stale)} are stale, {len(behind)} are behind a stale one.",
        present,
    ]
    if left:
        lines.append(f"dvc.lock also records {left} stages of other studies, which dvc.yaml does not have now.")
    return "\n".join(lines)


def params_changes(implied: str) -> str:
    """The lines of params.yaml that are not what the config implies; the file stays as it is."""
    here = paths.PARAMS.read_text() if paths.PARAMS.is_file() else ""
    if here == implied:
        return ""
    changed = [
        f"  {line[:100]}"
        for line in difflib.unified_diff(here.splitlines(), implied.splitlines(), n=0, lineterm="")
        if line[0] in "+-" and not line.startswith(("+++", "---"))
    ]
    more = [f"  and {len(changed) - MOST_LINES} more lines"] if len(changed) > MOST_LINES else []
    head = f"{paths.PARAMS} is not what {paths.CONFIG} implies (`orchard check` writes it anew; - here, + implied):"
    return "\n".join([head, *changed[:MOST_LINES], *more])


def stale_text(project: Project, stale: dict[str, list[str]]) -> str:
    """The stale outputs, under their reasons; those with the same reasons together."""
    groups: dict[tuple, list[str]] = {}
    for name, reasons in stale.items():
        groups.setdefault(tuple(reasons), []).append(project.stages[name].out)
    blocks = [
        "\n".join([*(f"  {reason}" for reason in reasons), *(f"      {out}" for out in outs)])
        for reasons, outs in groups.items()
    ]
    return "\n".join(["Stale:", *blocks]) if blocks else ""


def behind_text(project: Project, behind: dict[str, list[str]]) -> str:
    """The outputs behind stale ones."""
    width = max((len(project.stages[name].out) for name in behind), default=0)
    lines = [f"  {project.stages[name].out:{width}}  behind {some(roots)}" for name, roots in behind.items()]
    return "\n".join(["Behind them, stale only if the content of what they read changes:", *lines]) if lines else ""


def outputs_here(project: Project) -> tuple[str, str]:
    """The outputs in the working folder that are not those of dvc.lock, and how many are, as text."""
    edited, same, absent = [], 0, 0
    for stage in project.stages.values():
        here, recorded = project.here(stage.out), project.recorded(stage)
        same += here == recorded
        absent += here == ABSENT
        if here not in (ABSENT, recorded):
            edited.append(f"  {stage.out}: {short(recorded) if recorded else MISSING} → {short(here)}")
    count = f"Outputs in this folder: {same} as dvc.lock records them, {len(edited)} not, {absent} not pulled."
    return "\n".join(["Not as dvc.lock records them:", *edited]) if edited else "", count


def published_text(project: Project, old: set[str]) -> str:
    """Whether docs/report is of a report that is stale; nothing if it shows another study."""
    summary, entry = paths.DOCS_REPORT / "summary.md", project.lock.get("report")
    if "report" not in old or not entry or not summary.is_file():
        return ""
    if f"`{entry.values.get('name')}`" not in _first_line(summary):
        return ""
    return f"{paths.DOCS_REPORT} and the README's table are stale with {paths.REPORT} (a run, then `make publish`)."


def _first_line(file: Path) -> str:
    """The line that names the study of a report."""
    return file.read_text().partition("\n")[0]
