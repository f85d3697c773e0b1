"""The figures on layer pruning: what it leaves, and what recovery brings back. A figure's drawing stands below it."""

from itertools import product

import numpy as np
import pandas
from matplotlib.axes import Axes

from orchard import paths
from orchard.report import statistics
from orchard.report.claims.pruning import protocol_gaps
from orchard.report.figures import plot
from orchard.report.figures.figure import Figure, bars_are, numbers
from orchard.report.figures.plot import Drawing
from orchard.report.pruned_study import FAMILIES, RECOVERIES, Cell, PrunedStudy

RETENTION = ["of", "method", "ratio", "recovery", "family", "retention", "low", "high", "replicates", "a_guess"]
RETENTION += ["above_a_guess"]
SPEEDS = ["of", "method", "ratio", "recovery", "family", "speed_up", "retention", "low", "high"]
PHASES = {"generation": "decode", "classification": "prefill"}  # where the time of each family of tasks goes


def retention_table(study: PrunedStudy) -> pandas.DataFrame:
    """Retention of each setting after each recovery, by family.

    ``a_guess`` is what guessing would retain, and ``above_a_guess`` what is left of the score beyond that: 0 for a
    model that guesses, 1 for the unpruned one. The claims take the papers' ratio, whose numbers they are compared with.
    """
    rows = []
    for recovery in RECOVERIES:
        for cell, family in product(study.cells(recovery), FAMILIES):
            if found := study.retention(cell, family):
                facts = _facts(cell) | {"recovery": recovery, "family": family}
                guess = study.retention_of_guess(cell, family)
                facts |= {"a_guess": guess, "above_a_guess": (found.value - guess) / (1 - guess)}
                rows.append(facts | numbers("retention", found.interval(study.confidence), "replicates"))
    return pandas.DataFrame(rows, columns=RETENTION)


def _facts(cell: Cell) -> dict:
    """The columns that say how a cell's models were pruned."""
    return {"of": cell.setting.group, "method": cell.setting.method, "ratio": cell.setting.ratio}


def retention(retentions: pandas.DataFrame, confidence: float) -> Figure:
    """`retention_table` without recovery."""
    return Figure(
        "retention",
        "What pruning leaves, without recovery",
        "Pruned score as a share of the unpruned one, of generation and of classification. " + bars_are(confidence),
        retentions[retentions["recovery"] == "none"],
        draw_retention,
    )


def draw_retention(table: pandas.DataFrame) -> Drawing:
    """Over the share of layers dropped; a panel per method, a colour per group, a line style per family."""
    methods, groups = list(table["method"].unique()), list(table["of"].unique())
    columns = min(len(methods), 4)
    rows = -(-len(methods) // columns)
    drawing, grid = plot.panels(rows, columns, (1.6 + 3.4 * columns, 0.6 + 3 * rows), sharex=True)
    for axes in grid.flat[len(methods) :]:
        axes.set_axis_off()
    for axes, method in zip(grid.flat, methods, strict=False):
        for number, group in enumerate(groups):
            own = table[(table["method"] == method) & (table["of"] == group)]
            colour = plot.COLOURS[number % len(plot.COLOURS)]
            _draw_group(axes, own, group, colour, plot.shift(number, len(groups), 0.008))
        axes.set(title=method, ylim=plot.bounded(table, "retention"), xlim=(-0.02, table["ratio"].max() + 0.04))
        axes.tick_params(labelbottom=True)
    plot.outer_labels(grid, "share of layers dropped", "retention")
    plot.legend_of(grid[0, 0], below=2)
    return drawing


def _draw_group(axes: Axes, table: pandas.DataFrame, group: str, colour: str, aside: float) -> None:
    """The two lines of one group and method, which start at the unpruned model's 1."""
    for family, dash, marker in (("generation", "-", "o"), ("classification", "--", "s")):
        rows = table[table["family"] == family].sort_values("ratio")
        look = {"color": colour, "linestyle": dash}
        axes.plot([0, *rows["ratio"][:1]], [1, *rows["retention"][:1]], **look)
        plot.dots(axes, rows["ratio"] + aside, rows, "retention", label=f"{group}, {family}", marker=marker, **look)


def recovery(retentions: pandas.DataFrame, confidence: float) -> Figure:
    """`retention_table` of the groups and methods that were recovered at all."""
    recovered = retentions.loc[retentions["recovery"] != "none", ["of", "method"]].drop_duplicates()
    return Figure(
        "recovery",
        "What recovery brings back",
        "Retention of pruned models without recovery, after training on open data, and after training on the unpruned "
        f"model's own responses. {bars_are(confidence)}",
        retentions.merge(recovered, on=["of", "method"]),
        draw_recovery,
    )


def draw_recovery(table: pandas.DataFrame) -> Drawing:
    """A row per group and method, a column per family."""
    groups = list(dict.fromkeys(zip(table["of"], table["method"], strict=True)))
    families = list(table["family"].unique())
    drawing, grid = plot.panels(len(groups), len(families), (1.5 + 3.2 * len(families), 1 + 2.2 * len(groups)))
    for row, (group, method) in zip(grid, groups, strict=True):
        own = table[(table["of"] == group) & (table["method"] == method)]
        for axes, family in zip(row, families, strict=True):
            _draw_recoveries(axes, own[own["family"] == family], table)
            axes.set(title=f"{group}, {method}:\n{family}", ylim=plot.bounded(table, "retention"))
    plot.outer_labels(grid, "share of layers dropped", "retention")
    plot.legend_of(grid[0, 0], "recovery data")
    return drawing


def _draw_recoveries(axes: Axes, own: pandas.DataFrame, table: pandas.DataFrame) -> None:
    """The bars of one panel; the whole table says which ratios and recoveries have a place."""
    ratios, names = sorted(table["ratio"].unique()), list(table["recovery"].unique())
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        rows = own[own["recovery"] == name]
        places = [ratios.index(ratio) + plot.shift(number, len(names), width) for ratio in rows["ratio"]]
        look = {"label": name, "color": plot.COLOURS[number], "ecolor": plot.INK, "capsize": 3}
        axes.bar(places, rows["retention"], 0.93 * width, yerr=plot.bars(rows, "retention"), **look)
    axes.set_xticks(range(len(ratios)), [f"{ratio:.3g}" for ratio in ratios])


def speeds(study: PrunedStudy, retentions: pandas.DataFrame) -> Figure:
    """What is left of the score beside how much faster the model is, by family; only for bases that were timed.

    The speed-up is the median over rounds of the unpruned model's seconds over the pruned one's: of decoding for
    generation, of prefill for classification.
    """
    facts, group = study.evaluations.facts, study.evaluations.group
    bases = {study.group_of[name]: group(facts[of]["base"]) for name, of in study.unpruned_of.items()}
    timed, rows = speed_ups(pandas.read_csv(paths.SPEEDS)), []
    for row in retentions.to_dict("records"):
        own = timed[(timed["base"] == bases[row["of"]]) & (timed["phase"] == PHASES[row["family"]])]
        own = own[(own["share"] - row["ratio"]).abs() < 1e-6]
        rows += [row | {"speed_up": speed_up} for speed_up in own["speed_up"]]
    return Figure(
        "speeds",
        "What the loss buys",
        "Retention over the measured speed-up against the unpruned model: of decoding for generation, of prefill for "
        f"classification. {paths.SPEEDS} has the times. {bars_are(study.confidence)}",
        pandas.DataFrame(rows, columns=SPEEDS),
        draw_speeds,
    )


def speed_ups(times: pandas.DataFrame) -> pandas.DataFrame:
    """The median speed-up of each base and phase by the share of layers dropped."""
    keys = ["base", "phase", "round"]
    both = times.merge(times[times["dropped"] == 0], on=keys, suffixes=("", "_whole"))
    both = both.assign(share=both["dropped"] / both["layers"], speed_up=both["seconds_whole"] / both["seconds"])
    return both.groupby(["base", "phase", "share"], as_index=False)["speed_up"].median()


def draw_speeds(table: pandas.DataFrame) -> Drawing:
    """A panel per family, a line per group, method and recovery."""
    table = table[table["recovery"].isin(["none", "open", "self"])]  # the others only fill the picture
    names = table["of"] + ", " + table["method"] + table["recovery"].map(plot.recovered)
    drawing, row = _by_family(table, "speed_up", names, height=3.4 + 0.13 * names.nunique())
    for axes in row:
        axes.set_xlabel(f"speed-up of {'decoding' if axes.get_title() == 'generation' else 'prefill'}")
        axes.xaxis.set_major_formatter("{x:g}×")
    row[0].set_ylabel("retention")
    return drawing


def _by_family(table: pandas.DataFrame, x: str, names: pandas.Series, height: float) -> tuple[Drawing, np.ndarray]:
    """Retention over a column; a panel per family, a line per name; each row of the table has one."""
    families = list(table["family"].unique())
    drawing, (row,) = plot.panels(1, len(families), (3.6 + 3.4 * len(families), height))
    for axes, family in zip(row, families, strict=True):
        for number, name in enumerate(names.unique()):
            rows = table[(table["family"] == family) & (names == name)].sort_values(x)
            plot.dots(axes, rows[x], rows, "retention", label=name, **plot.style(number))
        axes.axhline(1, color=plot.INK, linewidth=0.8)
        axes.set(title=family, ylim=plot.bounded(table, "retention"))
    plot.legend_of(row[0], below=2)
    return drawing, row


def tokens(study: PrunedStudy) -> Figure:
    """Retention over the answer tokens that recovery saw, where models were recovered on sets of several sizes."""
    rows = []
    for author in ("open", "self"):
        several = [cell for cells in study.sizes(author) if len(cells) > 1 for cell in cells]
        for cell, family in product(several, FAMILIES):
            if found := study.retention(cell, family):
                facts = _facts(cell) | {"author": author, "family": family}
                facts |= {"rows": cell.examples, "tokens": study.tokens(cell)}
                rows.append(facts | numbers("retention", found.interval(study.confidence), "replicates"))
    return Figure(
        "tokens",
        "What more recovery brings",
        f"Retention over the answer tokens that recovery saw. {bars_are(study.confidence)}",
        pandas.DataFrame(rows),
        draw_tokens,
    )


def draw_tokens(table: pandas.DataFrame) -> Drawing:
    """A panel per family, a line per group, method, ratio and author."""
    sizes = sorted(table["tokens"].unique())
    names = table["of"] + ", " + table["method"] + table["ratio"].map(" {:g}, ".format) + table["author"]
    drawing, row = _by_family(table, "tokens", names, height=3.8)
    for axes in row:
        axes.set(xlabel="answer tokens of recovery", xscale="log")
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.minorticks_off()
    row[0].set_ylabel("retention of the unpruned score")
    return drawing


def skips(study: PrunedStudy) -> Figure:
    """Retention of models that lack one layer, by task: those of both families, and the probe of arithmetic.

    Of the tasks that are clearly above chance before pruning.
    """
    probe, rows = study.report.pruning.probe, []
    for group, layers in study.one_layer().items():
        tasks = [task for family in FAMILIES for task in study.reported_tasks(group, family)]
        if probe and probe not in tasks and study.above_chance(group, probe):
            tasks.append(probe)
        for (layer, models), task in product(layers.items(), tasks):
            if study.scored(models, [task]):
                found = study.retained(models, (task,)).interval(study.confidence)
                rows.append({"of": group, "layer": layer, "task": task} | numbers("retention", found, "replicates"))
    return Figure(
        "skips",
        "What one layer holds",
        "Retention of models that lack a single layer, by task; the table has intervals. Colours end at 0 and 1.",
        pandas.DataFrame(rows),
        draw_skips,
    )


def draw_skips(table: pandas.DataFrame) -> Drawing:
    """Layers down, tasks across; a panel per group."""
    groups, tasks = list(table["of"].unique()), list(table["task"].unique())
    layers = sorted(table["layer"].unique())
    width, height = 1.6 + (0.9 * len(tasks) + 0.4) * len(groups), 1.4 + 0.3 * len(layers)
    drawing, (row,) = plot.panels(1, len(groups), (width, height))
    for axes, group in zip(row, groups, strict=True):
        kept = table[table["of"] == group].pivot(index="layer", columns="task", values="retention")
        kept = kept.reindex(index=layers, columns=tasks).to_numpy()
        mesh = axes.pcolormesh(kept, cmap="viridis", vmin=0, vmax=1, edgecolors="none")
        for (place, column), value in np.ndenumerate(kept):
            if not np.isnan(value):
                ink = "black" if value > 0.6 else "white"  # on viridis' light and dark end
                axes.text(column + 0.5, place + 0.5, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(np.arange(len(tasks)) + 0.5, tasks, rotation=30, ha="right")
        axes.set_yticks(np.arange(len(layers)) + 0.5, layers)
        axes.set(title=group)
    row[0].invert_yaxis()  # shared: it turns all panels
    row[0].set_ylabel("layer left out")
    drawing.colorbar(mesh, ax=row, label="retention of the unpruned score")
    return drawing


def probes(study: PrunedStudy) -> Figure:
    """Accuracy on the probe of arithmetic: unpruned, pruned, and recovered on self-generated data."""
    probe, rows = study.report.pruning.probe, []
    for cell in study.cells("self") if probe else []:
        pruned = study.cell("none", cell.setting)
        asked = pruned and study.scored((*cell.models, *pruned.models), [probe])
        if asked and study.above_chance(cell.setting.group, probe):
            unpruned = sorted(set(study.unpruned(cell.models)))
            for when, models in (("unpruned", unpruned), ("pruned", pruned.models), ("recovered", cell.models)):
                found = statistics.mean([study.scores(models, probe)]).interval(study.confidence)
                facts = cell.setting._asdict() | {"task": probe, "when": when}
                rows.append(facts | numbers("accuracy", found, "replicates"))
    return Figure(
        "probes",
        "Arithmetic alone",
        "Accuracy on single digits, the likeliest of the ten: unpruned, pruned, recovered on self-generated data. "
        f"{bars_are(study.confidence)}",
        pandas.DataFrame(rows),
        draw_probes,
    )


def draw_probes(table: pandas.DataFrame) -> Drawing:
    """A line per setting."""
    drawing, axes = plot.panel(6.8, 3.8)
    groups = dict(list(table.groupby(_names(table), sort=False)))
    ticks = {when: when for when in ("unpruned", "pruned", "recovered")}
    plot.grouped(axes, groups, "when", "accuracy", ticks, room=0.3)
    axes.set(ylim=plot.bounded(table, "accuracy"), ylabel=f"accuracy on {table['task'].iloc[0]}")
    plot.legend_beside(axes)
    return drawing


def _names(table: pandas.DataFrame) -> pandas.Series:
    """The pruning setting of each row of a table, in a reader's words."""
    return table["group"] + ", " + table["method"] + table["ratio"].map(" {:g}".format)


def protocols(study: PrunedStudy) -> Figure:
    """The gap in retention between classification and generation: on different tasks, and on the same items."""
    rows = [
        cell.setting._asdict() | {"scored_on": name} | numbers("gap", gap.interval(study.confidence), "replicates")
        for cell in study.cells("none")
        for name, gap in (protocol_gaps(study, cell) or {}).items()
    ]
    return Figure(
        "protocols",
        "Tasks, or the way of scoring?",
        "Retention scored as multiple choice minus retention scored as generation, without recovery: of the two "
        f"families of tasks, and of the same items asked both ways. {bars_are(study.confidence)}",
        pandas.DataFrame(rows),
        draw_protocols,
    )


def draw_protocols(table: pandas.DataFrame) -> Drawing:
    """A row per setting."""
    names = _names(table)
    settings = list(names.unique())
    drawing, axes = plot.panel(7.4, 1.3 + 0.4 * len(settings))
    for number, (scored_on, rows) in enumerate(table.groupby("scored_on", sort=False)):
        places = [settings.index(name) + plot.shift(number, 2, 0.24) for name in names[rows.index]]
        plot.dots_across(axes, places, rows, "gap", label=scored_on, **plot.style(number))
    axes.axvline(0, color=plot.INK, linewidth=0.8)
    axes.set_yticks(range(len(settings)), settings)
    axes.set(xlim=plot.around_zero(table["gap"], least=0.1), ylim=(len(settings) - 0.5, -0.5))
    axes.set_xlabel("retention scored as multiple choice minus as generation")
    plot.legend_beside(axes, "scored on")
    return drawing
