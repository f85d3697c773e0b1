"""The figures on layer pruning: what it leaves, and what recovery brings back. Each as table, drawing and words."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas

from orchard import paths
from orchard.report import statistics
from orchard.report.claims.pruning import protocol_gaps
from orchard.report.figures import plot
from orchard.report.figures.figure import Figure, bars_are, numbers
from orchard.report.figures.plot import Drawing
from orchard.report.pruned_study import METRICS, RECOVERIES, PrunedStudy

RETENTION = ["of", "method", "ratio", "recovery", "family", "retention", "low", "high", "replicates", "a_guess"]
SPEEDS = ["of", "method", "ratio", "recovery", "family", "speed_up", "retention", "low", "high"]
PHASES = {"generation": "decode", "classification": "prefill"}  # where the time of each family of tasks goes


# What pruning leaves


def retention(study: PrunedStudy, retentions: pandas.DataFrame) -> Figure:
    """Retention over the share of layers dropped; a panel per method, a colour per group, a line style per family."""
    return Figure(
        name="retention",
        title="What pruning leaves, without recovery",
        caption="Pruned score as a share of the unpruned one, of generation and of classification. "
        f"{bars_are(study.confidence)}",
        table=retentions[retentions["recovery"] == "none"],
        draw=draw_retention,
    )


def retention_table(study: PrunedStudy) -> pandas.DataFrame:
    """Retention of each setting after each recovery, by family; ``a_guess`` is what guessing would retain."""
    rows = []
    for recovery in RECOVERIES:
        for cell, family in product(study.cells(recovery), METRICS):
            if found := study.retention(cell, family):
                group, method, ratio = cell.setting
                facts = {"of": group, "method": method, "ratio": ratio, "recovery": recovery, "family": family}
                kept = numbers("retention", found.interval(study.confidence), "replicates")
                rows.append(facts | kept | {"a_guess": study.retention_of_guess(cell, family)})
    return pandas.DataFrame(rows, columns=RETENTION)


def draw_retention(table: pandas.DataFrame) -> Drawing:
    methods, groups = list(table["method"].unique()), list(table["of"].unique())
    columns = min(len(methods), 4)
    rows = -(-len(methods) // columns)
    drawing, grid = plot.panels(rows, columns, 1.6 + 3.4 * columns, 0.6 + 3 * rows, sharex=True)
    for axes in grid.flat[len(methods) :]:
        axes.set_axis_off()
    for axes, method in zip(grid.flat, methods, strict=False):
        for number, group in enumerate(groups):
            own = table[(table["method"] == method) & (table["of"] == group)]
            colour = plot.COLOURS[number % len(plot.COLOURS)]
            _draw_group(axes, own, group, colour, plot.shift(number, len(groups), 0.008))
        axes.set(title=method, ylim=plot.bounded(table, "retention"), xlim=(-0.02, table["ratio"].max() + 0.04))
        axes.tick_params(labelbottom=True)
    for axes in grid[-1]:
        axes.set_xlabel("share of layers dropped")
    for axes in grid[:, 0]:
        axes.set_ylabel("retention")
    plot.legend_of(grid[0, 0], below=2)
    return drawing


def _draw_group(axes, table: pandas.DataFrame, group: str, colour: str, aside: float) -> None:
    """The two lines of one group and method, which start at the unpruned model's 1."""
    for family, dash, marker in (("generation", "-", "o"), ("classification", "--", "s")):
        rows = table[table["family"] == family].sort_values("ratio")
        look = {"color": colour, "linestyle": dash}
        axes.plot([0, *rows["ratio"][:1]], [1, *rows["retention"][:1]], **look)
        plot.dots(axes, rows["ratio"] + aside, rows, "retention", label=f"{group}, {family}", marker=marker, **look)


# What recovery brings back


def recovery(study: PrunedStudy, retentions: pandas.DataFrame) -> Figure:
    """Retention without recovery and after each kind of it; a row per group and method, a column per family."""
    recovered = retentions.loc[retentions["recovery"] != "none", ["of", "method"]].drop_duplicates()
    return Figure(
        name="recovery",
        title="What recovery brings back",
        caption="Retention of pruned models without recovery, after training on open data, and after training on the "
        f"unpruned model's own responses. {bars_are(study.confidence)}",
        table=retentions.merge(recovered, on=["of", "method"]),
        draw=draw_recovery,
    )


def draw_recovery(table: pandas.DataFrame) -> Drawing:
    groups = list(dict.fromkeys(zip(table["of"], table["method"], strict=True)))
    families = list(table["family"].unique())
    drawing, grid = plot.panels(len(groups), len(families), 1.5 + 3.2 * len(families), 1 + 2.2 * len(groups))
    for row, (group, method) in zip(grid, groups, strict=True):
        own = table[(table["of"] == group) & (table["method"] == method)]
        for axes, family in zip(row, families, strict=True):
            _draw_recoveries(axes, own[own["family"] == family], table)
            axes.set_title(f"{group}, {method}:\n{family}")
            axes.set_ylim(*plot.bounded(table, "retention"))
        row[0].set_ylabel("retention")
    for axes in grid[-1]:
        axes.set_xlabel("share of layers dropped")
    plot.legend_of(grid[0, 0], "recovery data")
    return drawing


def _draw_recoveries(axes, own: pandas.DataFrame, table: pandas.DataFrame) -> None:
    """The bars of one panel; the whole table says which ratios and recoveries have a place."""
    ratios, names = sorted(table["ratio"].unique()), list(table["recovery"].unique())
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        rows = own[own["recovery"] == name]
        places = [ratios.index(ratio) + plot.shift(number, len(names), width) for ratio in rows["ratio"]]
        look = {"label": name, "color": plot.COLOURS[number], "ecolor": plot.INK, "capsize": 3}
        axes.bar(places, rows["retention"], 0.93 * width, yerr=plot.bars(rows, "retention"), **look)
    axes.set_xticks(range(len(ratios)), [f"{ratio:.3g}" for ratio in ratios])


# What the loss buys


def speeds(study: PrunedStudy, retentions: pandas.DataFrame) -> Figure:
    """Retention over speed-up; a panel per family, a line per group, method and recovery."""
    return Figure(
        name="speeds",
        title="What the loss buys",
        caption="Retention over the measured speed-up against the unpruned model: of decoding for generation, of prefill "
        f"for classification. {paths.SPEEDS} has the times. {bars_are(study.confidence)}",
        table=speeds_table(study, retentions),
        draw=draw_speeds,
    )


def speeds_table(study: PrunedStudy, retentions: pandas.DataFrame) -> pandas.DataFrame:
    """What is left of the score beside how much faster the model is, by family; only for bases that were timed.

    The speed-up is the median over rounds of the unpruned model's seconds over the pruned one's: of decoding for
    generation, of prefill for classification.
    """
    facts = study.evaluations.facts
    bases = {study.group_of[name]: facts[of]["base"] or of for name, of in study.unpruned_of.items()}
    timed, rows = speed_ups(pandas.read_csv(paths.SPEEDS)), []
    for row in retentions.to_dict("records"):
        for (layers, dropped), by_phase in timed.get(bases[row["of"]], {}).items():
            if abs(dropped / layers - row["ratio"]) < 1e-6:
                rows.append(row | {"speed_up": by_phase[PHASES[row["family"]]]})
    return pandas.DataFrame(rows, columns=SPEEDS)


def speed_ups(times: pandas.DataFrame) -> dict[str, dict[tuple[int, int], dict[str, float]]]:
    """The speed-up by base, by layers and layers dropped, and by phase."""
    found: dict[str, dict] = {}
    for (base, layers, dropped, phase), rows in times.groupby(["base", "layers", "dropped", "phase"]):
        whole = times[(times["base"] == base) & (times["phase"] == phase) & (times["dropped"] == 0)]
        ratio = whole.set_index("round")["seconds"] / rows.set_index("round")["seconds"]
        found.setdefault(base, {}).setdefault((layers, dropped), {})[phase] = ratio.median()
    return found


def draw_speeds(table: pandas.DataFrame) -> Drawing:
    table = table[table["recovery"].isin(["none", "open", "self"])]  # the others only fill the picture
    keys = ["of", "method", "recovery"]

    def label(of: str, method: str, recovery: str) -> str:
        return f"{of}, {method}{plot.recovered(recovery)}"

    drawing, row = _by_family(table, "speed_up", keys, label, height=3.4 + 0.13 * table.groupby(keys).ngroups)
    for axes in row:
        axes.set_xlabel(f"speed-up of {'decoding' if axes.get_title() == 'generation' else 'prefill'}")
        axes.xaxis.set_major_formatter("{x:g}×")
    row[0].set_ylabel("retention")
    return drawing


def _by_family(
    table: pandas.DataFrame, x: str, keys: list[str], label: Callable[..., str], height: float
) -> tuple[Drawing, np.ndarray]:
    """Retention over a column; a panel per family, a line per combination of keys."""
    families = list(table["family"].unique())
    drawing, (row,) = plot.panels(1, len(families), 3.6 + 3.4 * len(families), height)
    for axes, family in zip(row, families, strict=True):
        for number, (line, own) in enumerate(table.groupby(keys, sort=False)):
            rows = own[own["family"] == family].sort_values(x)
            plot.dots(axes, rows[x], rows, "retention", label=label(*line), **plot.style(number))
        plot.level(axes, 1)
        axes.set(title=family, ylim=plot.bounded(table, "retention"))
    plot.legend_of(row[0], below=2)
    return drawing, row


# What more recovery brings


def tokens(study: PrunedStudy) -> Figure:
    """Retention over recovery's tokens; a panel per family, a line per group, method, ratio and author."""
    return Figure(
        name="tokens",
        title="What more recovery brings",
        caption=f"Retention over the answer tokens that recovery saw. {bars_are(study.confidence)}",
        table=tokens_table(study),
        draw=draw_tokens,
    )


def tokens_table(study: PrunedStudy) -> pandas.DataFrame:
    """Retention over the answer tokens that recovery saw, where models were recovered on sets of several sizes."""
    rows = []
    for author in ("open", "self"):
        several = [cells for cells in study.sizes(author) if len(cells) > 1]
        for cell, family in product([cell for cells in several for cell in cells], METRICS):
            if found := study.retention(cell, family):
                group, method, ratio = cell.setting
                facts = {"of": group, "method": method, "ratio": ratio, "author": author, "family": family}
                facts |= {"rows": cell.examples, "tokens": study.tokens(cell)}
                rows.append(facts | numbers("retention", found.interval(study.confidence), "replicates"))
    return pandas.DataFrame(rows)


def draw_tokens(table: pandas.DataFrame) -> Drawing:
    sizes = sorted(table["tokens"].unique())

    def label(of: str, method: str, ratio: float, author: str) -> str:
        return f"{of}, {method} {ratio:g}, {author}"

    drawing, row = _by_family(table, "tokens", ["of", "method", "ratio", "author"], label, height=3.8)
    for axes in row:
        axes.set_xlabel("answer tokens of recovery")
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.minorticks_off()
    row[0].set_ylabel("retention of the unpruned score")
    return drawing


# What one layer holds


def skips(study: PrunedStudy) -> Figure:
    """Retention of models that lack one layer: layers down, tasks across; a panel per group."""
    return Figure(
        name="skips",
        title="What one layer holds",
        caption="Retention of models that lack a single layer, by task; the table has intervals. Colours end at 0 and 1.",
        table=skips_table(study),
        draw=draw_skips,
    )


def skips_table(study: PrunedStudy) -> pandas.DataFrame:
    """Retention of models that lack one layer, by task: those of both families, and the probe of arithmetic."""
    rows = []
    for group, layers in study.one_layer().items():
        for (layer, models), (task, metric) in product(layers.items(), _scored_tasks(study, group).items()):
            found = study.retained(models, (task,), metric).interval(study.confidence)
            rows.append({"of": group, "layer": layer, "task": task, **numbers("retention", found, "replicates")})
    return pandas.DataFrame(rows)


def _scored_tasks(study: PrunedStudy, group: str) -> dict[str, str]:
    """The tasks of both families and the probe, where clearly above chance before pruning, each with its metric."""
    tasks = {task: metric for family, metric in METRICS.items() for task in study.reported_tasks(group, family)}
    probe = study.report.pruning.probe
    return tasks | ({probe: "acc"} if probe and study.above_chance(group, probe, "acc") else {})


def draw_skips(table: pandas.DataFrame) -> Drawing:
    groups, tasks = list(table["of"].unique()), list(table["task"].unique())
    layers = sorted(table["layer"].unique())
    width, height = 1.6 + (0.9 * len(tasks) + 0.4) * len(groups), 1.4 + 0.3 * len(layers)
    drawing, (row,) = plot.panels(1, len(groups), width, height)
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
        axes.set_title(group)
    row[0].invert_yaxis()  # shared: it turns all panels
    row[0].set_ylabel("layer left out")
    drawing.colorbar(mesh, ax=row, label="retention of the unpruned score")
    return drawing


# Arithmetic alone


def probes(study: PrunedStudy) -> Figure:
    """Accuracy on the probe unpruned, pruned and recovered, a line per setting."""
    return Figure(
        name="probes",
        title="Arithmetic alone",
        caption="Accuracy on single digits, the likeliest of the ten: unpruned, pruned, recovered on self-generated data. "
        f"{bars_are(study.confidence)}",
        table=probes_table(study),
        draw=draw_probes,
    )


def probes_table(study: PrunedStudy) -> pandas.DataFrame:
    """Accuracy on the probe of arithmetic: unpruned, pruned, and recovered on self-generated data."""
    probe, rows = study.report.pruning.probe, []
    for cell in study.cells("self") if probe else []:
        pruned = study.cell("none", cell.setting)
        if not pruned or not study.above_chance(cell.setting.group, probe, "acc"):
            continue
        unpruned = sorted(set(study.unpruned(cell.models)))
        for when, models in (("unpruned", unpruned), ("pruned", pruned.models), ("recovered", cell.models)):
            found = statistics.mean([study.evaluations.values(models, probe, "acc")]).interval(study.confidence)
            facts = {**cell.setting._asdict(), "task": probe, "when": when}
            rows.append(facts | numbers("accuracy", found, "replicates"))
    return pandas.DataFrame(rows)


def draw_probes(table: pandas.DataFrame) -> Drawing:
    drawing, axes = plot.canvas(6.8, 3.8)
    stages = ["unpruned", "pruned", "recovered"]
    settings = list(table.groupby(["group", "method", "ratio"], sort=False))
    for number, ((group, method, ratio), rows) in enumerate(settings):
        aside = plot.shift(number, len(settings), 0.3 / len(settings))
        places = [stages.index(when) + aside for when in rows["when"]]
        plot.dots(axes, places, rows, "accuracy", label=f"{group}, {method} {ratio:g}", **plot.style(number))
    axes.set_xticks(range(len(stages)), stages)
    axes.set_ylim(*plot.bounded(table, "accuracy"))
    axes.set_ylabel(f"accuracy on {table['task'].iloc[0]}")
    plot.legend_beside(axes)
    return drawing


# Tasks, or the way of scoring


def protocols(study: PrunedStudy) -> Figure:
    """The gap in retention on different tasks and on the same items, a row per setting."""
    return Figure(
        name="protocols",
        title="Tasks, or the way of scoring?",
        caption="Retention scored as multiple choice minus retention scored as generation, without recovery: of the two "
        f"families of tasks, and of the same items asked both ways. {bars_are(study.confidence)}",
        table=protocols_table(study),
        draw=draw_protocols,
    )


def protocols_table(study: PrunedStudy) -> pandas.DataFrame:
    """The gap in retention between classification and generation: on different tasks, and on the same items."""
    rows = []
    for cell in study.cells("none"):
        for scored_on, gap in (protocol_gaps(study, cell) or {}).items():
            found = numbers("gap", gap.interval(study.confidence), "replicates")
            rows.append({**cell.setting._asdict(), "scored_on": scored_on, **found})
    return pandas.DataFrame(rows)


def draw_protocols(table: pandas.DataFrame) -> Drawing:
    keys = list(zip(table["group"], table["method"], table["ratio"], strict=True))
    settings = list(dict.fromkeys(keys))
    drawing, axes = plot.canvas(7.4, 1.3 + 0.4 * len(settings))
    for number, (scored_on, rows) in enumerate(table.groupby("scored_on", sort=False)):
        places = [settings.index(keys[row]) + plot.shift(number, 2, 0.24) for row in rows.index]
        plot.dots_across(axes, places, rows, "gap", label=scored_on, **plot.style(number) | {"linestyle": "none"})
    axes.axvline(0, color=plot.INK, linewidth=0.8)
    axes.set_yticks(range(len(settings)), [f"{group}, {method} {ratio:g}" for group, method, ratio in settings])
    axes.set_ylim(len(settings) - 0.5, -0.5)
    axes.set_xlim(*plot.around_zero(table["gap"], least=0.1))
    axes.set_xlabel("retention scored as multiple choice minus as generation")
    plot.legend_beside(axes, "scored on")
    return drawing
