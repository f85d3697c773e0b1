"""What a figure is: a table, its drawing and its words. The same table gives the same bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas
from markupsafe import escape

from orchard.report.figures import plot
from orchard.report.figures.plot import Drawing
from orchard.report.statistics import Interval


@dataclass(frozen=True)
class Figure:
    """A table, its drawing and its words.

    Attributes:
        name: file name without suffix.
        title: the page's heading.
        caption: what is drawn, and how the error bars were made.
        table: what it is drawn from, and from nothing else.
        draw: makes the drawing from the table.
        tabled: whether the page shows the table; a long one is a file only.
    """

    name: str
    title: str
    caption: str
    table: pandas.DataFrame
    draw: Callable[[pandas.DataFrame], Drawing]
    tabled: bool = True

    def save(self, folder: Path) -> None:
        """Writes the drawing as SVG and PNG, and the table as CSV."""
        with matplotlib.rc_context(plot.STYLE):
            drawing = self.draw(self.table)
            drawing.savefig(folder / f"{self.name}.svg", metadata={"Date": None}, transparent=True)
            drawing.savefig(folder / f"{self.name}.png", metadata={"Software": None}, dpi=150, facecolor="white")
            plot.pyplot.close(drawing)
        self.table.to_csv(folder / f"{self.name}.csv", index=False, float_format="%.6f")

    def inline_svg(self, folder: Path) -> str:
        """The saved SVG for an HTML page: its ink follows the page's, and a screen reader hears the caption."""
        svg = (folder / f"{self.name}.svg").read_text()
        svg = svg[svg.index("<svg") :].replace(plot.INK, "currentColor")
        for before in ('id="', '"#', "url(#"):  # what the page's other drawings also have gets the figure's name
            svg = svg.replace(before, f"{before}{self.name}-")
        return svg.replace("<svg", f'<svg role="img" aria-label="{escape(self.title)}: {escape(self.caption)}"', 1)


def numbers(name: str, found: Interval, replicates: str) -> dict:
    """The cells of an estimate: by its name, its interval, and its number of replicates by theirs."""
    return {name: found.value, "low": found.low, "high": found.high, replicates: found.replicates}


def bars_are(confidence: float) -> str:
    """What the error bars of most figures are."""
    return (
        f"Bars are {confidence:.0%} intervals over chains and questions; where there is one pretrained model, over its "
        "seeds or over questions alone. Long bars leave the picture; the table has their ends."
    )
