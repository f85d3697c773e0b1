"""The figures, each drawn from its table alone; the same table gives the same bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas
from markupsafe import escape

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
    drawing, panels = pyplot.subplots(
        1, len(methods), figsize=(1.6 + 3.4 * len(methods), 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, method in zip(panels[0], methods, strict=True):
        for number, group in enumerate(groups):
            for family, dash, marker in (("generation", "-", "o"), ("classification", "--", "s")):
                rows = table[(table["method"] == method) & (table["of"] == group) & (table["family"] == family)]
                rows = rows.sort_values("ratio")
                style = {"color": COLOURS[number % len(COLOURS)], "linestyle": dash}
                axes.plot([0, *rows["ratio"][:1]], [1, *rows["retention"][:1]], **style)  # unpruned: 1 by definition
                places = rows["ratio"] + 0.008 * (
                    number - (len(groups) - 1) / 2
                )  # so that bars do not hide one another
                label = f"{group}, {family}"
                axes.errorbar(
                    places, rows["retention"], bars(rows, "retention"), label=label, marker=marker, capsize=3, **style
                )
        axes.set(
            title=method,
            xlabel="share of layers dropped",
            ylim=bounded(table, "retention"),
            xlim=(-0.02, table["ratio"].max() + 0.04),
        )
    panels[0][0].set_ylabel("retention of the unpruned score")
    handles, labels = panels[0][0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=2)
    return drawing


def recovery(table: pandas.DataFrame) -> matplotlib.figure.Figure:
    """Retention without recovery, after open data and after self-generated data; a row a group, a column a family."""
    groups, families, ratios = (
        list(table["of"].unique()),
        list(table["family"].unique()),
        sorted(table["ratio"].unique()),
    )
    size = (1.5 + 3.2 * len(families), 1 + 2.2 * len(groups))
    drawing, panels = pyplot.subplots(
        len(groups), len(families), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for row, group in zip(panels, groups, strict=True):
        for axes, family in zip(row, families, strict=True):
            for number, name in enumerate(("none", "open", "self")):
                rows = table[(table["of"] == group) & (table["family"] == family) & (table["recovery"] == name)]
                places = [ratios.index(ratio) + 0.27 * (number - 1) for ratio in rows["ratio"]]
                axes.bar(
                    places,
                    rows["retention"],
                    0.25,
                    yerr=bars(rows, "retention"),
                    label=name,
                    color=COLOURS[number],
                    ecolor=INK,
                    capsize=3,
                )
            axes.set_xticks(range(len(ratios)), [f"{ratio:g}" for ratio in ratios])
            axes.set(title=f"{group}: {family}", ylim=bounded(table, "retention"))
        row[0].set_ylabel("retention")
    for axes in panels[-1]:
        axes.set_xlabel("share of layers dropped")
    handles, labels = panels[0][0].get_legend_handles_labels()
    drawing.legend(handles, labels, title="recovery data", loc="outside right upper")
    return drawing


def style(number: int) -> dict:
    """The look of one of up to eighteen lines: colours first, then markers and dashes."""
    lap = number // len(COLOURS) % len(DASHES)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[lap], "linestyle": DASHES[lap]}


def label(objective: str) -> str:
    """An objective's name in a legend."""
    return "no SFT" if objective == "none" else objective


def bars(rows: pandas.DataFrame, name: str) -> list[pandas.Series]:
    """Lengths of the error bars below and above."""
    return [rows[name] - rows["low"], rows["high"] - rows[name]]


def bounded(table: pandas.DataFrame, name: str) -> tuple[float, float]:
    """The y-axis: from zero to a little above the highest value or 1; longer error bars leave the picture."""
    return 0, max(1.0, table[name].max()) * 1.08
