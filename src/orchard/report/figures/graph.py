"""The families of stages behind a report, and which reads what another wrote."""

from graphlib import CycleError, TopologicalSorter

import pandas

REPORT = "report"


def families(trails: dict[str, list[dict]]) -> pandas.DataFrame:
    """A row a family of stages: its name, how many of its stages results rest on, its depth, and what it reads of.

    Args:
        trails: for each model the steps of trace.chain up to its evaluation; empty where no dvc.lock tells them.
    """
    stages = {step["stage"]: step for steps in trails.values() for step in steps}
    if not stages:
        return pandas.DataFrame()
    reads: dict[str, set[str]] = {}
    for step in stages.values():
        own = _family(step["stage"])
        reads.setdefault(own, set()).update({_family(other) for other in step["after"]} - {own})
    reads[REPORT] = {_family(steps[-1]["stage"]) for steps in trails.values() if steps}
    counts = pandas.Series(map(_family, stages)).value_counts().to_dict() | {REPORT: 1}
    depths: dict[str, int] = {}
    for name in _order(reads):
        depths[name] = max((depths[other] + 1 for other in reads[name] if other in depths), default=0)
    rows = [
        {"family": name, "stages": counts[name], "depth": depths[name], "reads_of": ", ".join(sorted(reads[name]))}
        for name in sorted(reads, key=lambda name: (depths[name], name))
    ]
    return pandas.DataFrame(rows)


def _order(reads: dict[str, set[str]]) -> list[str]:
    """The families, what is read before who reads it.

    Families may read from one another in turn (a policy sampled from a model after SFT), though stages never do: then
    the way back does not count.
    """
    ways = {name: sorted(reads[name]) for name in sorted(reads)}
    while True:
        try:
            return list(TopologicalSorter(ways).static_order())
        except CycleError as error:
            read, reader, *_ = error.args[1]
            ways[reader].remove(read)


def direct(table: pandas.DataFrame) -> list[tuple[str, str]]:
    """The pairs of families (from, to) without those that a longer way joins as well."""
    reads = {row.family: set(filter(None, row.reads_of.split(", "))) for row in table.itertuples()}
    above: dict[str, set[str]] = {}  # all families that one comes after; the table goes from the first to the last
    for name, others in reads.items():
        others &= above.keys()  # not the way back of families that read from one another
        above[name] = others.union(*(above[other] for other in others))
    return [
        (other, name)
        for name, others in reads.items()
        for other in sorted(others)
        if not any(other in above[between] for between in others)
    ]


def _family(stage: str) -> str:
    return stage.split("@")[0]
