"""What a run would do with each stage: nothing, bring its output back, or run its command; why, and for how long.

Outputs are looked for here, in DVC's cache and on the default remote. What a changed stage once made is looked for in
the run cache of this folder (.dvc/cache/runs); a remote's own run cache, which a run brings first, is not asked, so
that a stage of "must run" may still come back from there.
"""

import os
from typing import NamedTuple

from orchard.lineage import costs
from orchard.lineage.graph import Stage
from orchard.lineage.project import ABSENT, NOT_RECORDED, Contents, Project, opened, some

FRESH, RESTORABLE, MUST_RUN = "fresh", "restorable", "must run"


class Step(NamedTuple):
    """What becomes of a stage.

    Args:
        state: fresh, restorable or must run.
        why: the reasons, one per line.
        roots: for what must run, the stages whose change or loss makes it so; its own name if that is its own.
    """

    state: str
    why: list[str]
    roots: list[str]


def plan(everything: bool) -> str:
    """The table of stages with a summary on top, as text.

    Args:
        everything: whether the fresh stages are named too; else they are only counted.

    Raises:
        UserError: config.yaml, dvc.yaml or dvc.lock cannot be read.
    """
    with opened() as project:
        store = Store(project)
        steps = planned(project, store)
        seconds = costs.durations(name for name, step in steps.items() if step.state == MUST_RUN)
        parts = [summary(project, steps, seconds), store.trouble]
    for state in (MUST_RUN, RESTORABLE, FRESH):
        chosen = {name: step for name, step in steps.items() if step.state == state}
        if chosen and (everything or state != FRESH):
            parts.append(table(state, chosen, seconds))
    return "\n\n".join(filter(None, parts))


def planned(project: Project, store: "Store") -> dict[str, Step]:
    """What becomes of each stage, by name, in the order of a run."""
    steps: dict[str, Step] = {}
    contents: Contents = {}  # what each output will be
    for name, stage in project.stages.items():
        producers = [steps[producer.name] for producer in project.graph.producers(stage)]
        roots = list(dict.fromkeys(root for before in producers for root in before.roots))
        changes = project.changes(stage, contents)
        if changes:
            steps[name], contents[stage.out] = changed(project, store, stage, changes, roots, contents)
        else:
            steps[name] = unchanged(project, store, stage, roots)
            contents[stage.out] = None if steps[name].state == MUST_RUN else project.recorded(stage)
    return steps


def unchanged(project: Project, store: "Store", stage: Stage, roots: list[str]) -> Step:
    """What becomes of a stage that is as dvc.lock records it, as far as is known before ``roots`` have run."""
    md5, here = project.recorded(stage), project.here(stage.out)
    there = store.where(md5)
    edited = [] if here in (md5, ABSENT) else [NOT_RECORDED]
    if here != md5 and not there:
        return Step(MUST_RUN, [*edited, store.nowhere], [stage.name])
    if roots:
        return Step(
            MUST_RUN, [f"behind {some(roots)}, only if {'its' if len(roots) == 1 else 'their'} output changes"], roots
        )
    return Step(FRESH, [], []) if here == md5 else Step(RESTORABLE, [*edited, there], [])


def changed(
    project: Project, store: "Store", stage: Stage, changes: list[str], roots: list[str], contents: Contents
) -> tuple[Step, str | None]:
    """What becomes of a stage that is not as dvc.lock records it, and the MD5 of its output if that is known."""
    md5 = None if roots else project.once_made(stage, contents)
    if md5 and store.in_cache(md5):
        return Step(RESTORABLE, ["in the run cache, from an earlier run", *changes], []), md5
    return Step(MUST_RUN, changes, [stage.name]), None


class Store:
    """Where outputs are kept: DVC's cache, and the default remote, which is asked once for all outputs of dvc.lock.

    Args:
        project: the stages.
    """

    def __init__(self, project: Project):
        self.project, self.trouble = project, ""
        self.remote = project.repo.config["core"].get("remote")
        wanted = [md5 for stage in project.stages.values() if (md5 := project.recorded(stage))]
        missing = [md5 for md5 in wanted if not self.in_cache(md5)]
        self.on_remote = self.ask_remote(missing) if self.remote and missing else set()

    def in_cache(self, md5: str) -> bool:
        """Whether the cache has a file, or the list of a folder's files and all of these."""
        cache = self.project.cache
        if not cache.exists(md5):
            return False
        files = self.project.listing(md5) if md5.endswith(".dir") else []
        return files is not None and all(cache.exists(entry.value) for _, _, entry in files)

    def ask_remote(self, wanted: list[str]) -> set[str]:
        """Those of some MD5s that the remote has; a folder's list of files is pushed last, so that it stands for them.

        A remote that cannot be reached has nothing; ``trouble`` then says why.
        """
        try:
            remote = self.project.repo.cloud.get_remote()
            there = remote.fs.exists(remote.path)  # one question first, which fails alone
            found = set(remote.odb.list_oids_exists(wanted))
        except Exception as error:  # each kind of remote has errors of its own
            self.trouble = f"The remote {self.remote!r} cannot be reached or is empty: {error}"
            return set()
        if not found and not there:
            self.trouble = f"The remote {self.remote!r} cannot be reached or is empty: nothing is at {remote.path}"
        return found

    def where(self, md5: str) -> str:
        """Where an output can be had, in words; empty if nowhere."""
        if self.in_cache(md5):
            return "in the cache"
        return f"on the remote {self.remote!r}" if md5 in self.on_remote else ""

    @property
    def nowhere(self) -> str:
        """The reason why an output must be made anew."""
        return f"not in the cache, {'and no remote is named' if not self.remote else f'nor on {self.remote!r}'}"


def summary(project: Project, steps: dict[str, Step], seconds: dict[str, float]) -> str:
    """How many stages are in which state, and the time that the commands take."""
    counts = {state: sum(step.state == state for step in steps.values()) for state in (FRESH, RESTORABLE, MUST_RUN)}
    text = f"{len(steps)} stages: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    if not counts[MUST_RUN]:
        return f"{text}."
    perhaps = sum(name not in step.roots for name, step in steps.items() if step.state == MUST_RUN)
    text += f" ({perhaps} of these only if what they read changes)" if perhaps else ""
    cores = os.cpu_count()
    minutes = max(sum(seconds.values()) / cores, longest_chain(project, seconds)) / 60
    unknown = counts[MUST_RUN] - len(seconds)
    text += f"; {'at most ' if perhaps else ''}about {max(1, round(minutes))} min on {cores} cores"
    return text + (f", not counting {unknown} stages whose duration is not known." if unknown else ".")


def longest_chain(project: Project, seconds: dict[str, float]) -> float:
    """The seconds of the stages that must run one after the other, however many cores there are."""
    ends: dict[str, float] = {}
    for name, stage in project.stages.items():
        before = max((ends[producer.name] for producer in project.graph.producers(stage)), default=0.0)
        ends[name] = before + seconds.get(name, 0.0)
    return max(ends.values(), default=0.0)


def table(state: str, steps: dict[str, Step], seconds: dict[str, float]) -> str:
    """The stages of one state, a line per stage and one more per further reason."""
    width = max(map(len, [*steps, state])) + 4
    lines = [f"{state:{width}}{'minutes' if state == MUST_RUN else '':7}  why".rstrip()]
    if state == FRESH:
        return "\n".join([f"{state}:", *(f"  {name}" for name in steps)])
    for name, step in steps.items():
        minutes = f"{seconds[name] / 60:.1f}" if name in seconds else "unknown"
        first, *more = step.why
        lines.append(f"  {name:{width - 2}}{minutes if state == MUST_RUN else '':>7}  {first}")
        lines += [f"{'':{width + 9}}{reason}" for reason in more]
    return "\n".join(lines)
