"""The look that all drawings share, and the parts that they are made of."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

matplotlib.use("Agg")
from matplotlib import pyplot

INK = "#24292f"  # text and axes; the page turns it into the colour of its own text
MARKERS, DASHES = "osD", ["-", "--", ":"]  # with six colours they tell eighteen lines apart
COLOURS = ["#4287c8", "#d9782d", "#2f9e77", "#c25a9a", "#8f7ad6", "#a08a2b"]  # legible on white and on near-black
STYLE = {
    "svg.hashsalt": "orchard",
    "font.size": 10,
    "text.parse_math": False,  # a name with a $ is a name
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    **dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"], INK
    ),
}


def panel(width: float, height: float) -> tuple[Drawing, Axes]:
    """An empty drawing of one panel; its size in inches."""
    return pyplot.subplots(figsize=(width, height))


def panels(rows: int, columns: int, size: tuple[float, float], sharex=False, sharey=True) -> tuple[Drawing, np.ndarray]:
    """An empty drawing of several panels; its size in inches, the panels of shape (rows, columns)."""
    return pyplot.subplots(rows, columns, figsize=size, sharex=sharex, sharey=sharey, squeeze=False)


def style(number: int) -> dict:
    """The look of one of up to eighteen lines: colours first, then markers and dashes."""
    lap = number // len(COLOURS) % len(DASHES)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[lap], "linestyle": DASHES[lap]}


def bars(rows: pandas.DataFrame, name: str) -> list[pandas.Series]:
    """Lengths of the error bars below and above."""
    return [rows[name] - rows["low"], rows["high"] - rows[name]]


def dots(axes: Axes, places, rows: pandas.DataFrame, name: str, **look) -> None:
    """A column's values with their error bars, at places of the x-axis."""
    axes.errorbar(places, rows[name], yerr=bars(rows, name), **{"capsize": 3} | look)


def grouped(axes: Axes, groups: dict[str, pandas.DataFrame], x: str, y: str, ticks: dict, room: float, **look) -> None:
    """The values of groups, side by side at the ticks that column x names.

    Groups are rows by their name in the legend, ticks have their text; room is what all groups at one tick take.
    """
    for number, (name, rows) in enumerate(groups.items()):
        places = [list(ticks).index(tick) + shift(number, len(groups), room / len(groups)) for tick in rows[x]]
        dots(axes, places, rows, y, label=name, **style(number) | look)
    axes.set_xticks(range(len(ticks)), ticks.values())


def dots_across(axes: Axes, places, rows: pandas.DataFrame, name: str, **look) -> None:
    """A column's values with their error bars, at places of the y-axis."""
    axes.errorbar(rows[name], places, xerr=bars(rows, name), **{"capsize": 3} | look | {"linestyle": "none"})


def lines(axes: Axes, rows: pandas.DataFrame, objectives: list[str], x: str, y: str, marked: bool = True) -> None:
    """A line per SFT objective, without markers if wanted so: a single point always has one."""
    for number, objective in enumerate(objectives):
        own = rows[rows["objective"] == objective]
        look = style(number) if marked or len(own) == 1 else style(number) | {"marker": ""}
        axes.plot(own[x], own[y], label=label(objective), **look)


def label(objective: str) -> str:
    """An objective's name in a legend."""
    return "no SFT" if objective == "none" else objective


def recovered(recovery: str) -> str:
    """What a name in a legend adds for its kind of recovery."""
    return "" if recovery == "none" else f", recovered: {recovery}"


def outer_labels(grid: np.ndarray, x: str, y: str) -> None:
    """Labels the axes of the lowest and of the leftmost panels."""
    for axes in grid[-1]:
        axes.set_xlabel(x)
    for axes in grid[:, 0]:
        axes.set_ylabel(y)


def shift(number: int, count: int, step: float) -> float:
    """How far one of several dots at one place moves aside, so that their bars do not hide one another."""
    return step * (number - (count - 1) / 2)


def bounded(table: pandas.DataFrame, name: str) -> tuple[float, float]:
    """The y-axis: from zero to a little above the highest value or 1; longer error bars leave the picture."""
    return 0, max(1.0, table[name].max()) * 1.08


def around_zero(values: pandas.Series, least: float, room: float = 1.3) -> tuple[float, float]:
    """An axis with zero in its middle, that reaches at least this far; longer error bars leave the picture."""
    reach = room * max(values.abs().max(), least)
    return -reach, reach


def rows_down(axes: Axes, names: Sequence[str]) -> None:
    """Names the rows of a drawing, the first at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def legend_beside(axes: Axes, title: str | None = None) -> None:
    """The legend of a drawing of one panel."""
    axes.legend(title=title, loc="upper left", bbox_to_anchor=(1, 1))


def legend_of(axes: Axes, title: str | None = None, below: int = 0) -> None:
    """The legend of a drawing whose panels all have the labels of one: to the right, or below in so many columns."""
    where = {"loc": "outside lower center", "ncols": below} if below else {"loc": "outside right upper"}
    axes.figure.legend(*axes.get_legend_handles_labels(), title=title, **where)
