"""The figures, each drawn from its table alone; the same table gives the same bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas
from markupsafe import escape

from orchard.report.figures import graph

matplotlib.use("Agg")
from matplotlib import pyplot

INK = "#24292f"  # text and axes; the page turns it into the colour of its own text
MARKERS, DASHES = "osD", ["-", "--", ":"]  # with six colours they tell eighteen lines apart
COLOURS = ["#4287c8", "#d9782d", "#2f9e77", "#c25a9a", "#8f7ad6", "#a08a2b"]  # legible on white and on near-black
STYLE = {
    "svg.hashsalt": "orchard",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    **dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"], INK
    ),
}


@dataclass(frozen=True)
class Figure:
    """A drawing with its words.

    Attributes:
        name: file name without suffix.
        title: the page's heading.
        caption: what is drawn, and how the error bars were made.
        table: what it is drawn from.
        draw: makes the matplotlib figure from the table.
        tabled: whether the page shows the table; a long one is a file only.
    """

    name: str
    title: str
    caption: str
    table: pandas.DataFrame
    draw: Callable[[pandas.DataFrame], matplotlib.figure.Figure]
    tabled: bool = True

    def save(self, folder: Path) -> None:
        """Writes the figure as SVG and PNG, and its table as CSV."""
        with matplotlib.rc_context(STYLE):
            drawing = self.draw(self.table)
            drawing.savefig(folder / f"{self.name}.svg", metadata={"Date": None}, transparent=True)
            drawing.savefig(folder / f"{self.name}.png", metadata={"Software": None}, dpi=150, facecolor="white")
            pyplot.close(drawing)
        self.table.to_csv(folder / f"{self.name}.csv", index=False, float_format="%.6f")

    def inline_svg(self, folder: Path) -> str:
        """The saved SVG for an HTML page: its ink follows the page's, and a screen reader hears the caption."""
        svg = (folder / f"{self.name}.svg").read_text()
        svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
        svg = (
            svg.replace('id="', f'id="{self.name}-')
            .replace('"#', f'"#{self.name}-')
            .replace("url(#", f"url(#{self.name}-")
        )
        return svg.replace("<svg", f'<svg role="img" aria-label="{escape(self.title)}: {escape(self.caption)}"', 1)


def reinforcement(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """pass@1 before and after RL, a line an objective."""
    drawing, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    objectives = list(table["objective"].unique())
    for number, objective in enumerate(objectives):
        rows = table[table["objective"] == objective]
        spread = min(0.04, 0.4 / len(objectives))
        shift = spread * (number - (len(objectives) - 1) / 2)  # so that bars at one place do not hide one another
        places = [{"before RL": 0, "after RL": 1}[when] + shift for when in rows["when"]]
        axes.errorbar(places, rows["pass@1"], bars(rows, "pass@1"), label=label(objective), capsize=3, **style(number))
    axes.set_xticks([0, 1], ["before RL", "after RL"])
    axes.set_xlim(-0.25, 1.25)
    axes.set_ylim(*bounded(table, "pass@1"))
    axes.set_ylabel(f"pass@1 on {table['task'].iloc[0]}")
    axes.legend(title="SFT objective", loc="upper left", bbox_to_anchor=(1, 1))
    return drawing


def drift(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Relative drift during RL, a row an objective, in the order of the table."""
    drawing, axes = pyplot.subplots(figsize=(6.4, 1.1 + 0.3 * len(table)), layout="constrained")
    for number, (_, row) in enumerate(table.iterrows()):
        lengths = [[row["drift"] - row["low"]], [row["high"] - row["drift"]]]
        axes.errorbar(row["drift"], number, xerr=lengths, capsize=3, **style(number) | {"linestyle": "none"})
    axes.set_yticks(range(len(table)), map(label, table["objective"]))
    axes.invert_yaxis()
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, max(1.6 * table["drift"].max(), 1e-12))
    axes.set_xlabel("parameters' distance from the start of RL, share of their norm")
    return drawing


def weights(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """PEAR's mean weight over the completion, a line an objective; a panel for each end of training."""
    drawing, panels = pyplot.subplots(1, 2, figsize=(8.4, 3.8), sharey=True, layout="constrained")
    for axes, (when, title) in zip(panels, (("early", "first"), ("late", "last")), strict=True):
        for number, objective in enumerate(table["objective"].unique()):
            rows = table[(table["objective"] == objective) & (table["when"] == when)]
            axes.plot(rows["tenth"], rows["weight"], label=objective, **style(number))
        axes.set(title=f"{title} tenth of SFT", xlabel="tenth of the completion", xticks=[1, 4, 7, 10])
        if table["weight"].min() > 0 and table["weight"].max() > 10 * table["weight"].min():
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    panels[0].set_ylabel("mean weight of a token")
    drawing.legend(*panels[0].get_legend_handles_labels(), title="SFT objective", loc="outside right upper")
    return drawing


def curves(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Reward, response length, KL from the start and entropy over the steps of RL, a line an objective."""
    drawing, panels = pyplot.subplots(2, 2, figsize=(9.4, 6.6), layout="constrained")
    panels = panels.ravel()
    titles = {"reward": "mean reward", "length": "tokens a response"}
    titles |= {"kl": "KL from the start, nats a token", "entropy": "entropy, nats a token"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for number, objective in enumerate(table["objective"].unique()):
            rows = table[table["objective"] == objective]
            look = style(number) | {"marker": "" if len(rows) > 1 else style(number)["marker"]}
            axes.plot(rows["step"], rows[name], label=label(objective), **look)
        axes.set(title=title, xlabel="step of RL")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
    drawing.legend(*panels[0].get_legend_handles_labels(), title="SFT objective", loc="outside right upper")
    return drawing


def doses(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """The gain over plain SFT after RL on each data set, a colour an objective."""
    drawing, axes = pyplot.subplots(figsize=(8.4, 4.2), layout="constrained")
    sets = table.drop_duplicates("data")
    objectives = sorted(table["objective"].unique())
    for number, objective in enumerate(objectives):
        rows = table[table["objective"] == objective]
        shift = 0.6 * ((number + 0.5) / len(objectives) - 0.5)  # so that bars at one place do not hide one another
        places = [list(sets["data"]).index(data) + shift for data in rows["data"]]
        axes.errorbar(
            places,
            rows["gain"],
            bars(rows, "gain"),
            label=label(objective),
            capsize=3,
            **style(number) | {"linestyle": ""},
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(
        range(len(sets)),
        [
            f"{data}\n{mismatch:.1f} nats\nbest: {best}"
            for data, mismatch, best in sets[["data", "mismatch", "plain"]].to_numpy()
        ],
    )
    reach = 1.3 * max(table["gain"].abs().max(), 0.05)
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("pass@1 after RL, minus the best plain SFT")
    axes.legend(title="SFT objective", loc="upper left", bbox_to_anchor=(1, 1))
    return drawing


def courses(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """The lead in reward over plain SFT in each part of RL; a panel a data set, a line an objective."""
    sets = table.drop_duplicates("data")
    size = (2.2 + 2.5 * len(sets), 3.8)
    drawing, panels = pyplot.subplots(1, len(sets), figsize=size, sharey=True, squeeze=False, layout="constrained")
    objectives = sorted(table["objective"].unique())
    for axes, (data, mismatch, best) in zip(panels[0], sets[["data", "mismatch", "plain"]].to_numpy(), strict=True):
        for number, objective in enumerate(objectives):
            rows = table[(table["data"] == data) & (table["objective"] == objective)]
            axes.plot(rows["until_step"], rows["gain"], label=label(objective), **style(number))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set(title=f"{data}, {mismatch:.1f} nats\nbest: {best}", xlabel="until step of RL")
        axes.set_xticks(sorted(table["until_step"].unique()))
    panels[0][0].set_ylabel("reward minus the best plain SFT's")
    drawing.legend(*panels[0][0].get_legend_handles_labels(), title="SFT objective", loc="outside right upper")
    return drawing


def retention(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Retention over the share of layers dropped; a panel a method, a colour a group, a line style a family."""
    methods, groups = list(table["method"].unique()), list(table["of"].unique())
    columns = min(len(methods), 4)
    rows = -(-len(methods) // columns)
    size = (1.6 + 3.4 * columns, 0.6 + 3 * rows)
    drawing, panels = pyplot.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes in panels.flat[len(methods) :]:
        axes.set_axis_off()
    for axes, method in zip(panels.flat, methods, strict=False):
        for number, group in enumerate(groups):
            own = table[(table["method"] == method) & (table["of"] == group)]
            shift = 0.008 * (number - (len(groups) - 1) / 2)  # so that bars at one place do not hide one another
            draw_retention(axes, own, group, COLOURS[number % len(COLOURS)], shift)
        axes.set(title=method, ylim=bounded(table, "retention"), xlim=(-0.02, table["ratio"].max() + 0.04))
        axes.tick_params(labelbottom=True)
    for axes in panels[-1]:
        axes.set_xlabel("share of layers dropped")
    for row in panels:
        row[0].set_ylabel("retention")
    handles, labels = panels[0][0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=2)
    return drawing


def draw_retention(axes, table: pandas.DataFrame, group: str, colour: str, shift: float) -> None:
    """The two lines of one group and method, which start at the unpruned model's 1."""
    for family, dash, marker in (("generation", "-", "o"), ("classification", "--", "s")):
        rows = table[table["family"] == family].sort_values("ratio")
        look = {"color": colour, "linestyle": dash}
        axes.plot([0, *rows["ratio"][:1]], [1, *rows["retention"][:1]], **look)
        lengths, label = bars(rows, "retention"), f"{group}, {family}"
        axes.errorbar(rows["ratio"] + shift, rows["retention"], lengths, label=label, marker=marker, capsize=3, **look)


def recovery(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Retention without recovery and after each kind of recovery data; a row a group and method, a column a family."""
    groups = list(dict.fromkeys(zip(table["of"], table["method"], strict=True)))
    families, names = (list(table[column].unique()) for column in ("family", "recovery"))
    ratios, width = sorted(table["ratio"].unique()), 0.8 / len(names)
    size = (1.5 + 3.2 * len(families), 1 + 2.2 * len(groups))
    drawing, panels = pyplot.subplots(
        len(groups), len(families), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for row, (group, method) in zip(panels, groups, strict=True):
        own = table[(table["of"] == group) & (table["method"] == method)]
        for axes, family in zip(row, families, strict=True):
            for number, name in enumerate(names):
                rows = own[(own["family"] == family) & (own["recovery"] == name)]
                places = [ratios.index(ratio) + width * (number - (len(names) - 1) / 2) for ratio in rows["ratio"]]
                look = {"label": name, "color": COLOURS[number], "ecolor": INK, "capsize": 3}
                axes.bar(places, rows["retention"], 0.93 * width, yerr=bars(rows, "retention"), **look)
            axes.set_xticks(range(len(ratios)), [f"{ratio:.3g}" for ratio in ratios])
            axes.set_title(f"{group}, {method}:\n{family}")
            axes.set_ylim(*bounded(table, "retention"))
        row[0].set_ylabel("retention")
    for axes in panels[-1]:
        axes.set_xlabel("share of layers dropped")
    handles, labels = panels[0][0].get_legend_handles_labels()
    drawing.legend(handles, labels, title="recovery data", loc="outside right upper")
    return drawing


def speeds(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Retention over speed-up; a panel a family, a line a group, method and recovery."""
    table = table[table["recovery"].isin(["none", "open", "self"])]  # the others only fill the picture
    families = list(table["family"].unique())
    lines = list(table.groupby(["of", "method", "recovery"], sort=False).groups)
    size = (3.6 + 3.4 * len(families), 3.4 + 0.13 * len(lines))
    drawing, panels = pyplot.subplots(1, len(families), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, family in zip(panels[0], families, strict=True):
        for number, (of, method, recovery) in enumerate(lines):
            rows = table[(table["of"] == of) & (table["method"] == method) & (table["recovery"] == recovery)]
            rows = rows[rows["family"] == family].sort_values("speed_up")
            name = f"{of}, {method}{recovered(recovery)}"
            axes.errorbar(
                rows["speed_up"], rows["retention"], bars(rows, "retention"), label=name, capsize=3, **style(number)
            )
        axes.axhline(1, color=INK, linewidth=0.8)
        phase = {"generation": "decoding", "classification": "prefill"}[family]
        axes.set(title=family, xlabel=f"speed-up of {phase}", ylim=bounded(table, "retention"))
        axes.xaxis.set_major_formatter("{x:g}×")
    panels[0][0].set_ylabel("retention")
    drawing.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return drawing


def skips(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Retention of models that lack one layer: layers down, tasks across; a panel a group."""
    groups, tasks = list(table["of"].unique()), list(table["task"].unique())
    layers = sorted(table["layer"].unique())
    size = (1.6 + (0.9 * len(tasks) + 0.4) * len(groups), 1.4 + 0.3 * len(layers))
    drawing, panels = pyplot.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, group in zip(panels[0], groups, strict=True):
        kept = table[table["of"] == group].pivot(index="layer", columns="task", values="retention")
        kept = kept.reindex(index=layers, columns=tasks)
        mesh = axes.pcolormesh(kept.to_numpy(), cmap="viridis", vmin=0, vmax=1, edgecolors="none")
        for (row, column), value in np.ndenumerate(kept.to_numpy()):
            if not np.isnan(value):
                ink = "black" if value > 0.6 else "white"  # on viridis' light and dark end
                axes.text(column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(np.arange(len(tasks)) + 0.5, tasks, rotation=30, ha="right")
        axes.set_yticks(np.arange(len(layers)) + 0.5, layers)
        axes.set_title(group)
    panels[0][0].invert_yaxis()  # shared: it turns all panels
    panels[0][0].set_ylabel("layer left out")
    drawing.colorbar(mesh, ax=panels[0], label="retention of the unpruned score")
    return drawing


def degeneration(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """The change of rep-4 over retention, a dot a setting and task; the band is the margin of claim L6."""
    drawing, axes = pyplot.subplots(figsize=(7.4, 4), layout="constrained")
    axes.axhspan(-4, 4, color=INK, alpha=0.08, linewidth=0)
    kinds = table["method"] + recovered(table["recovery"])
    for number, kind in enumerate(kinds.unique()):
        rows = table[kinds == kind]
        lengths = [100 * length for length in bars(rows, "change")]
        look = style(number) | {"linestyle": "none"}
        axes.errorbar(rows["retention"], 100 * rows["change"], lengths, label=kind, capsize=2, **look)
    reach = 1.3 * max(100 * table["change"].abs().max(), 5)
    axes.set_ylim(-reach, reach)
    axes.set_xlim(0, bounded(table, "retention")[1])
    axes.set(xlabel="retention of pass@1", ylabel="change of rep-4, points")
    axes.legend(title="pruned by", loc="upper left", bbox_to_anchor=(1, 1))
    return drawing


def errors(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """The shares of responses by what is wrong with them, a row a setting; a panel a task."""
    tasks, columns = list(table["task"].unique()), list(table.columns)
    kinds = columns[columns.index("task") + 1 : columns.index("models")]
    colours = dict(zip(kinds, [COLOURS[2], COLOURS[0], COLOURS[4], COLOURS[1], COLOURS[5]], strict=False))
    names = table["of"] + ", " + table["method"] + " " + table["setting"]
    names = names.where(table["method"] != "none", table["of"] + ", unpruned")
    names += recovered(table["recovery"])
    settings = list(names.unique())
    size = (3.4 + 3.2 * len(tasks), 1.5 + 0.26 * len(settings))
    drawing, panels = pyplot.subplots(1, len(tasks), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, task in zip(panels[0], tasks, strict=True):
        rows = table[table["task"] == task]
        places, left = [settings.index(name) for name in names[rows.index]], np.zeros(len(rows))
        for kind in kinds:
            axes.barh(places, rows[kind], 0.75, left=left, label=kind, color=colours[kind])
            left += rows[kind].to_numpy()
        axes.set(title=task, xlabel="share of responses", xlim=(0, 1))
    panels[0][0].set_yticks(range(len(settings)), settings)
    panels[0][0].set_ylim(len(settings) - 0.4, -0.6)
    drawing.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(kinds))
    return drawing


def tokens(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Retention over recovery's tokens; a panel a family, a line a group, method, ratio and author."""
    families, sizes = list(table["family"].unique()), sorted(table["tokens"].unique())
    size = (3.6 + 3.4 * len(families), 3.8)
    drawing, panels = pyplot.subplots(1, len(families), figsize=size, sharey=True, squeeze=False, layout="constrained")
    lines = list(table.groupby(["of", "method", "ratio", "author"], sort=False).groups)
    for axes, family in zip(panels[0], families, strict=True):
        for number, line in enumerate(lines):
            keys = zip(["of", "method", "ratio", "author"], line, strict=True)
            rows = table[
                np.logical_and.reduce([table["family"] == family, *(table[key] == each for key, each in keys)])
            ]
            name = f"{line[0]}, {line[1]} {line[2]:g}, {line[3]}"
            axes.errorbar(
                rows["tokens"], rows["retention"], bars(rows, "retention"), label=name, capsize=3, **style(number)
            )
        axes.axhline(1, color=INK, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.minorticks_off()
        axes.set(title=family, xlabel="answer tokens of recovery", ylim=bounded(table, "retention"))
    panels[0][0].set_ylabel("retention of the unpruned score")
    drawing.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return drawing


def probes(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Accuracy on the probe unpruned, pruned and recovered, a line a setting."""
    drawing, axes = pyplot.subplots(figsize=(6.8, 3.8), layout="constrained")
    stages = ["unpruned", "pruned", "recovered"]
    settings = list(table.groupby(["group", "method", "ratio"], sort=False))
    for number, ((group, method, ratio), rows) in enumerate(settings):
        shift = 0.3 * ((number + 0.5) / len(settings) - 0.5)  # so that bars at one place do not hide one another
        places = [stages.index(when) + shift for when in rows["when"]]
        name = f"{group}, {method} {ratio:g}"
        axes.errorbar(places, rows["accuracy"], bars(rows, "accuracy"), label=name, capsize=3, **style(number))
    axes.set_xticks(range(len(stages)), stages)
    axes.set_ylim(*bounded(table, "accuracy"))
    axes.set_ylabel(f"accuracy on {table['task'].iloc[0]}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return drawing


def protocols(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """The gap in retention on different tasks and on the same items, a row a setting."""
    settings = list(dict.fromkeys(zip(table["group"], table["method"], table["ratio"], strict=True)))
    drawing, axes = pyplot.subplots(figsize=(7.4, 1.3 + 0.4 * len(settings)), layout="constrained")
    for number, scored_on in enumerate(table["scored_on"].unique()):
        rows = table[table["scored_on"] == scored_on]
        places = [
            settings.index(key) + 0.24 * (number - 0.5)
            for key in zip(rows["group"], rows["method"], rows["ratio"], strict=True)
        ]
        look = style(number) | {"linestyle": "none"}
        axes.errorbar(rows["gap"], places, xerr=bars(rows, "gap"), label=scored_on, capsize=3, **look)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(settings)), [f"{group}, {method} {ratio:g}" for group, method, ratio in settings])
    axes.set_ylim(len(settings) - 0.5, -0.5)
    reach = 1.3 * max(table["gap"].abs().max(), 0.1)
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("retention scored as multiple choice minus as generation")
    axes.legend(title="scored on", loc="upper left", bbox_to_anchor=(1, 1))
    return drawing


def claims(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Each claim's interval, the paper's side to the right of the line, a colour a verdict."""
    drawing, axes = pyplot.subplots(figsize=(7.4, 1.2 + 0.26 * len(table)), layout="constrained")
    colours = {"reproduced": COLOURS[2], "not reproduced": COLOURS[1], "inconclusive": COLOURS[5]}
    for verdict, rows in table.groupby("verdict", sort=False):
        look = {"color": colours[verdict], "linestyle": "none", "marker": "o", "capsize": 3, "label": verdict}
        axes.errorbar(rows["points"], rows.index, xerr=bars(rows, "points"), **look)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(table.index, table["claim"])
    axes.set_ylim(len(table) - 0.4, -0.6)
    reach = 1.15 * max(table["points"].abs().max(), 5)
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("points beyond the claim's threshold, to the right: on the paper's side")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return drawing


def stages(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Families of stages as boxes, from the data on the left to the report, with arrows along the longest ways."""
    depth, widest = table["depth"].max() + 1, table["depth"].value_counts().max()
    drawing, axes = pyplot.subplots(figsize=(1.1 * depth, 0.2 + 0.9 * widest), layout="constrained")
    boxes, places = {}, {}
    for column, rows in table.groupby("depth"):
        for row, (name, count) in enumerate(zip(rows["family"], rows["stages"], strict=True)):
            places[name] = (column, (len(rows) - 1) / 2 - row)
            look = {"boxstyle": "round,pad=0.4", "facecolor": COLOURS[0], "alpha": 0.25, "edgecolor": INK}
            middle = {"ha": "center", "va": "center", "fontsize": 9}
            boxes[name] = axes.annotate(f"{name}\n{count}", places[name], bbox=look, **middle)
    for start, end in graph.direct(table):
        ends = {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()}
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 2, **ends}
        axes.annotate("", places[end], places[start], arrowprops=arrow)
    axes.set(xlim=(-0.5, depth - 0.5), ylim=(-widest / 2, widest / 2))
    axes.set_axis_off()
    return drawing


def style(number: int) -> dict:
    """The look of one of up to eighteen lines: colours first, then markers and dashes."""
    lap = number // len(COLOURS) % len(DASHES)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[lap], "linestyle": DASHES[lap]}


def label(objective: str) -> str:
    """An objective's name in a legend."""
    return "no SFT" if objective == "none" else objective


def recovered(kinds):
    """What a name in a legend adds for its kind of recovery; of one kind or of a column of them."""
    words = np.where(np.asarray(kinds) == "none", "", ", recovered: " + np.asarray(kinds, dtype=object))
    return words if words.ndim else str(words)


def bars(rows: pandas.DataFrame, name: str) -> list[pandas.Series]:
    """Lengths of the error bars below and above."""
    return [rows[name] - rows["low"], rows["high"] - rows[name]]


def bounded(table: pandas.DataFrame, name: str) -> tuple[float, float]:
    """The y-axis: from zero to a little above the highest value or 1; longer error bars leave the picture."""
    return 0, max(1.0, table[name].max()) * 1.08
