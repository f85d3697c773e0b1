"""The figures on what pruned models write: repetition, and what is wrong. Each as table, drawing and words."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas

from orchard.report.evaluations import RIGHT
from orchard.report.figures import plot
from orchard.report.figures.figure import Figure, bars_are, numbers
from orchard.report.figures.plot import Drawing
from orchard.report.pruned_study import ONE_LAYER, RECOVERIES, Models, PrunedStudy

DEGENERATION = ["rep-2", "rep-3", "rep-4", "self-bleu-4", "length", "balanced"]


class Pruned(NamedTuple):
    """Models that are replicates of one another, and how they were made, in a reader's words."""

    models: Models
    of: str
    method: str
    setting: str
    recovery: str = "none"

    @property
    def facts(self) -> dict[str, str]:
        """How they were made, as columns of a table."""
        return dict(zip(self._fields[1:], self[1:], strict=True))


def all_pruned(study: PrunedStudy) -> Iterator[Pruned]:
    """All pruned models by setting: pruned, recovered, and without one layer."""
    for recovery in RECOVERIES:
        for cell in study.cells(recovery):
            group, method, ratio = cell.setting
            yield Pruned(cell.models, group, method, f"{ratio:g}", recovery)
    for group, layers in study.one_layer().items():
        for layer, models in layers.items():
            yield Pruned(models, group, ONE_LAYER, f"layer {layer}")


# Is the loss degeneration


def degeneration(study: PrunedStudy) -> Figure:
    """The change of rep-4 over retention, a dot per setting and task; the band is the margin of claim L6."""
    return Figure(
        name="degeneration",
        title="Is the loss degeneration?",
        caption="The change of rep-4 (1 − unique / total 4-grams) from the unpruned model, over what is left of pass@1. "
        f"The band is the margin of claim L6, 4 points. {bars_are(study.confidence)}",
        table=degeneration_table(study),
        draw=draw_degeneration,
    )


def degeneration_table(study: PrunedStudy) -> pandas.DataFrame:
    """What pruning does to the form of responses, by setting and generation task: the means of DEGENERATION.

    ``change`` is that of rep-4 from the unpruned model, with its interval; ``retention`` is that of pass@1 on the task.
    """
    rows = []
    for pruned in all_pruned(study):
        for task in study.reported_tasks(pruned.of, "generation"):
            if all(study.scored(pruned.models, [task], metric) for metric in DEGENERATION):
                means = {name: study.evaluations.values(pruned.models, task, name).mean() for name in DEGENERATION}
                kept = study.retained(pruned.models, (task,), "pass@1").value
                change = study.changed(pruned.models, (task,), "rep-4").interval(study.confidence)
                found = means | {"retention": kept} | numbers("change", change, "replicates")
                rows.append(pruned.facts | {"task": task} | found)
    return pandas.DataFrame(rows)


def draw_degeneration(table: pandas.DataFrame) -> Drawing:
    drawing, axes = plot.canvas(7.4, 4)
    axes.axhspan(-4, 4, color=plot.INK, alpha=0.08, linewidth=0)
    kinds = table["method"] + table["recovery"].map(plot.recovered)
    points = table.assign(**{name: 100 * table[name] for name in ("change", "low", "high")})
    for number, kind in enumerate(kinds.unique()):
        rows = points[kinds == kind]
        look = plot.style(number) | {"linestyle": "none", "capsize": 2}
        plot.dots(axes, rows["retention"], rows, "change", label=kind, **look)
    axes.set_ylim(*plot.around_zero(points["change"], least=5))
    axes.set_xlim(0, plot.bounded(table, "retention")[1])
    axes.set(xlabel="retention of pass@1", ylabel="change of rep-4, points")
    plot.legend_beside(axes, "pruned by")
    return drawing


# What is wrong with the responses


def errors(study: PrunedStudy) -> Figure:
    """The shares of responses by what is wrong with them, a row per setting; a panel per task."""
    return Figure(
        name="errors",
        title="What is wrong with the responses?",
        caption="Shares of responses, mean over replicates: right, and what is wrong with the others, the first that holds "
        "of unbalanced brackets, cut off, no answer, wrong answer. Without bars: the claims have them.",
        table=errors_table(study),
        draw=draw_errors,
    )


def errors_table(study: PrunedStudy) -> pandas.DataFrame:
    """What is wrong with responses: the share of each kind of error by setting and generation task."""
    shares = study.evaluations.errors
    kinds = {kind for by_task in shares.values() for own in by_task.values() for kind in own}
    rows = []
    for pruned, task in product(_with_unpruned(study), _written_tasks(study)):
        if all(task in shares.get(name, {}) for name in pruned.models):
            means = {
                kind: sum(shares[name][task].get(kind, 0) for name in pruned.models) / len(pruned.models)
                for kind in (RIGHT, *sorted(kinds - {RIGHT}))
            }
            rows.append({**pruned.facts, "task": task, **means, "models": len(pruned.models)})
    return pandas.DataFrame(rows)


def _with_unpruned(study: PrunedStudy) -> Iterator[Pruned]:
    """The settings of each group behind its unpruned models, the kinds of recovery side by side.

    Of the settings that were recovered, if any were, else of all that were pruned.
    """
    found = [pruned for pruned in all_pruned(study) if pruned.method != ONE_LAYER]
    recovered = {pruned[1:4] for pruned in found if pruned.recovery != "none"}
    kept = [pruned for pruned in found if not recovered or pruned[1:4] in recovered]
    kept.sort(key=lambda pruned: (pruned.method, float(pruned.setting)))
    for group in dict.fromkeys(pruned.of for pruned in kept):
        own = [pruned for pruned in kept if pruned.of == group]
        unpruned = {name for pruned in own for name in study.unpruned(pruned.models)}
        yield Pruned(tuple(sorted(unpruned)), group, "none", "0")
        yield from own


def _written_tasks(study: PrunedStudy) -> list[str]:
    """The tasks whose responses are looked at: those of the generation family, and the one of brackets."""
    tasks, brackets = study.report.generation, study.report.pruning.brackets
    return [*tasks, *([brackets] if brackets and brackets not in tasks else [])]


def draw_errors(table: pandas.DataFrame) -> Drawing:
    tasks, columns = list(table["task"].unique()), list(table.columns)
    kinds = columns[columns.index("task") + 1 : columns.index("models")]
    colours = dict(zip(kinds, [plot.COLOURS[number] for number in (2, 0, 4, 1, 5)], strict=False))
    names = table["of"] + ", " + table["method"] + " " + table["setting"]
    names = names.where(table["method"] != "none", table["of"] + ", unpruned") + table["recovery"].map(plot.recovered)
    settings = list(names.unique())
    drawing, (row,) = plot.panels(1, len(tasks), 3.4 + 3.2 * len(tasks), 1.5 + 0.26 * len(settings))
    for axes, task in zip(row, tasks, strict=True):
        rows = table[table["task"] == task]
        places, left = [settings.index(name) for name in names[rows.index]], np.zeros(len(rows))
        for kind in kinds:
            axes.barh(places, rows[kind], 0.75, left=left, label=kind, color=colours[kind])
            left += rows[kind].to_numpy()
        axes.set(title=task, xlabel="share of responses", xlim=(0, 1))
    row[0].set_yticks(range(len(settings)), settings)
    row[0].set_ylim(len(settings) - 0.4, -0.6)
    plot.legend_of(row[0], below=len(kinds))
    return drawing
