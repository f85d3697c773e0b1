"""The figures on the whole report: how clear each claim is, and the stages behind it. Drawings stand below."""

from collections import Counter

import networkx
import pandas

from orchard.report.claims import claim as claims
from orchard.report.claims.judge import INCONCLUSIVE, MEASURED, NOT_REPRODUCED, REPRODUCED, UNCORRECTED
from orchard.report.figures import plot
from orchard.report.figures.figure import Figure
from orchard.report.figures.plot import Drawing

COLOURS = {REPRODUCED: plot.COLOURS[2], NOT_REPRODUCED: plot.COLOURS[1], INCONCLUSIVE: plot.COLOURS[5]}
LOOKS = {verdict: {"color": colour, "marker": "o"} for verdict, colour in COLOURS.items()}
# Hollow: it does not hold after correction.
LOOKS |= {weak: LOOKS[verdict] | {"markerfacecolor": "none"} for verdict, weak in UNCORRECTED.items()}
REPORT = "report"


def verdicts(judged: pandas.DataFrame, confidence: float) -> Figure:
    """How far each tested claim's measure lies on the side of its threshold that the paper says, in points.

    Args:
        judged: of judge.judge_all, or as claims.csv has it.
        confidence: of the intervals.
    """
    by_id, rows = {claim.id: claim for claim in claims.load()}, []
    tested = judged["ours"].notna() & (judged["verdict"] != MEASURED)
    for row in judged[tested & judged["id"].isin(by_id)].to_dict("records"):
        claim = by_id[row["id"]]
        ours, *ends = (100 * (claim.sign * row[name] - claim.shown_above) for name in ("ours", "low", "high"))
        rows.append({"claim": claim.id, "verdict": row["verdict"], "points": ours, "low": min(ends), "high": max(ends)})
    return Figure(
        "claims-at-a-glance",
        "How clear is each claim?",
        "The measure of each tested claim minus its threshold, in points, turned so that the paper's side is to the "
        f"right; bars are {confidence:.0%} intervals and may leave the picture. A hollow dot: not "
        "after Holm's correction for the number of claims. Claims differ in what they measure: "
        "compare a bar with the line, not with its neighbours.",
        pandas.DataFrame(rows),
        draw_verdicts,
        tabled=False,
    )


def draw_verdicts(table: pandas.DataFrame) -> Drawing:
    """A row per claim, the paper's side to the right of the line, a colour per verdict."""
    drawing, axes = plot.panel(7.4, 1.2 + 0.26 * len(table))
    for verdict, rows in table.groupby("verdict", sort=False):
        plot.dots_across(axes, rows.index, rows, "points", **LOOKS[verdict], label=verdict)
    axes.axvline(0, color=plot.INK, linewidth=0.8)
    plot.rows_down(axes, table["claim"])
    axes.set_xlim(*plot.around_zero(table["points"], least=5, room=1.15))
    axes.set_xlabel("points beyond the claim's threshold, to the right: on the paper's side")
    plot.legend_beside(axes)
    return drawing


def stages(trails: dict[str, list[dict]]) -> Figure:
    """The families of stages: their names, how many stages each has, its depth, and the families that it reads from.

    Args:
        trails: for each model the steps of lock.chain up to its evaluation; empty where no dvc.lock has them.
    """
    steps = {step["stage"]: step for trail in trails.values() for step in trail}
    counts = Counter([REPORT, *map(_family, steps)])
    pairs = {(_family(other), _family(name)) for name in steps for other in steps[name]["after"]}
    pairs |= {(_family(trail[-1]["stage"]), REPORT) for trail in trails.values() if trail}
    reads = networkx.DiGraph()
    reads.add_nodes_from(map(_family, steps))  # in the order of their work
    reads.add_edges_from(sorted(pair for pair in pairs if pair[0] != pair[1]))
    rows = [
        {"family": name, "stages": counts[name], "depth": depth, "reads_of": ", ".join(sorted(reads.pred[name]))}
        for depth, names in enumerate(networkx.topological_generations(_without_circles(reads)))
        for name in sorted(names)
    ]
    return Figure(
        "stages",
        "The stages behind this report",
        "Families of stages and their numbers. An arrow goes from a family to one that reads what it wrote; where a "
        "longer way joins two, the table alone has the shorter one.",
        pandas.DataFrame(rows),
        draw_stages,
    )


def _without_circles(reads: networkx.DiGraph) -> networkx.DiGraph:
    """The graph without the ways back to a family that works earlier.

    Families may read from one another in turn (a policy sampled from a model after SFT), though stages never do.
    """
    reads = reads.copy()
    while not networkx.is_directed_acyclic_graph(reads):
        reads.remove_edge(*networkx.find_cycle(reads)[-1])
    return reads


def _family(stage: str) -> str:
    return stage.partition("@")[0]


def direct(table: pandas.DataFrame) -> list[tuple[str, str]]:
    """The pairs of families (from, to) without those that a longer way joins as well."""
    depth = dict(zip(table["family"], table["depth"], strict=True))
    pairs = [
        (other, row.family)
        for row in table.itertuples()
        for other in filter(None, row.reads_of.split(", "))
        if depth[other] < depth[row.family]  # not the way back of families that read from one another
    ]
    order = list(table["family"])
    ways = networkx.transitive_reduction(networkx.DiGraph(pairs)).edges
    return sorted(ways, key=lambda way: (order.index(way[1]), way[0]))


def draw_stages(table: pandas.DataFrame) -> Drawing:
    """Families as boxes, from the data on the left to the report, with arrows along the longest ways."""
    depth, widest = table["depth"].max() + 1, table["depth"].value_counts().max()
    drawing, axes = plot.panel(1.1 * depth, 0.2 + 0.9 * widest)
    boxes, places = {}, {}
    for column, rows in table.groupby("depth"):
        for row, (name, count) in enumerate(zip(rows["family"], rows["stages"], strict=True)):
            places[name] = (column, (len(rows) - 1) / 2 - row)
            look = {"boxstyle": "round,pad=0.4", "facecolor": plot.COLOURS[0], "alpha": 0.25, "edgecolor": plot.INK}
            middle = {"ha": "center", "va": "center", "fontsize": 9}
            boxes[name] = axes.annotate(f"{name}\n{count}", places[name], bbox=look, **middle)
    for start, end in direct(table):
        ends = {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()}
        arrow = {"arrowstyle": "-|>", "color": plot.INK, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 2, **ends}
        axes.annotate("", places[end], places[start], arrowprops=arrow)
    axes.set(xlim=(-0.5, depth - 0.5), ylim=(-widest / 2, widest / 2))
    axes.set_axis_off()
    return drawing
