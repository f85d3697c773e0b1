"""The figures on what pruned models write: repetition, and what is wrong. A figure's drawing stands below it."""

from collections.abc import Iterator
from itertools import product
from operator import itemgetter

import numpy as np
import pandas

from orchard.report.evaluations import RIGHT, SCORE
from orchard.report.figures import plot
from orchard.report.figures.figure import Figure, bars_are, numbers
from orchard.report.figures.plot import Drawing
from orchard.report.pruned_study import RECOVERIES, Models, PrunedStudy
from orchard.study.schema.prune import ONE_LAYER

MOST_KINDS = 6  # of which a drawing shows each: as many as there are colours
OTHERS = "all other kinds"
DEGENERATION = ["rep-2", "rep-3", "rep-4", "self-bleu-4", "length", "balanced"]


def all_pruned(study: PrunedStudy) -> Iterator[tuple[dict[str, str], Models]]:
    """All pruned models by how they were made, as columns of a table: pruned, recovered, and without one layer."""
    for recovery in RECOVERIES:
        for cell in study.cells(recovery):
            group, method, ratio = cell.setting
            yield {"of": group, "method": method, "setting": f"{ratio:g}", "recovery": recovery}, cell.models
    for group, layers in study.one_layer().items():
        for layer, models in layers.items():
            yield {"of": group, "method": ONE_LAYER, "setting": f"layer {layer}", "recovery": "none"}, models


def degeneration(study: PrunedStudy) -> Figure:
    """What pruning does to the form of responses, by setting and generation task: the means of DEGENERATION.

    ``change`` is that of rep-4 from the unpruned model, with its interval; ``retention`` is that of the task's score.
    """
    rows = []
    for facts, models in all_pruned(study):
        for task in study.reported_tasks(facts["of"], "generation"):
            if all(study.scored(models, [task], metric) for metric in (SCORE, *DEGENERATION)):
                means = {metric: study.evaluations.values(models, task, metric).mean() for metric in DEGENERATION}
                means |= {"retention": study.retained(models, (task,)).value}
                change = study.changed(models, (task,), "rep-4").interval(study.confidence)
                rows.append(facts | {"task": task} | means | numbers("change", change, "replicates"))
    return Figure(
        "degeneration",
        "Is the loss degeneration?",
        "The change of rep-4 (1 − unique / total 4-grams) from the unpruned model, over what is left of the score. The "
        f"band is the margin of claim L6, 4 points. {bars_are(study.confidence)}",
        pandas.DataFrame(rows),
        draw_degeneration,
    )


def draw_degeneration(table: pandas.DataFrame) -> Drawing:
    """A dot per setting and task."""
    drawing, axes = plot.panel(7.4, 4)
    axes.axhspan(-4, 4, color=plot.INK, alpha=0.08, linewidth=0)
    kinds = table["method"] + table["recovery"].map(plot.recovered)
    points = table.assign(**{name: 100 * table[name] for name in ("change", "low", "high")})
    for number, kind in enumerate(kinds.unique()):
        rows = points[kinds == kind]
        look = plot.style(number) | {"linestyle": "none", "capsize": 2}
        plot.dots(axes, rows["retention"], rows, "change", label=kind, **look)
    axes.set(xlim=plot.bounded(table, "retention"), xlabel="retention of the score")
    axes.set(ylim=plot.around_zero(points["change"], least=5), ylabel="change of rep-4, points")
    plot.legend_beside(axes, "pruned by")
    return drawing


def errors(study: PrunedStudy) -> Figure:
    """What is wrong with responses: the share of each kind of error by setting and generation task."""
    shares = study.evaluations.errors
    found = {kind for by_task in shares.values() for own in by_task.values() for kind in own}
    kinds, rows = (RIGHT, *sorted(found - {RIGHT})), []
    for (facts, models), task in product(_with_unpruned(study), _written_tasks(study)):
        if all(task in shares.get(name, {}) for name in models):
            own = [shares[name][task] for name in models]
            means = {kind: sum(each.get(kind, 0) for each in own) / len(own) for kind in kinds}
            rows.append(facts | {"task": task} | means | {"models": len(own)})
    return Figure(
        "errors",
        "What is wrong with the responses?",
        "Shares of responses, mean over replicates: right, and what is wrong with the others, the first that holds of "
        "unbalanced brackets, cut off, no answer, wrong or unreadable answer; of a program, what Python says of it. "
        "Without bars: the claims have them.",
        pandas.DataFrame(rows),
        draw_errors,
    )


def _with_unpruned(study: PrunedStudy) -> Iterator[tuple[dict[str, str], Models]]:
    """The settings of each group behind its unpruned models, the kinds of recovery side by side.

    Of the settings that were recovered, if any were, else of all that were pruned.
    """
    setting = itemgetter("of", "method", "setting")
    found = [(facts, models) for facts, models in all_pruned(study) if facts["method"] != ONE_LAYER]
    recovered = {setting(facts) for facts, _ in found if facts["recovery"] != "none"}
    kept = [(facts, models) for facts, models in found if not recovered or setting(facts) in recovered]
    kept.sort(key=lambda pruned: (pruned[0]["method"], float(pruned[0]["setting"])))
    for group in dict.fromkeys(facts["of"] for facts, _ in kept):
        own = [(facts, models) for facts, models in kept if facts["of"] == group]
        unpruned = {name for _, models in own for name in study.unpruned(models)}
        yield {"of": group, "method": "none", "setting": "0", "recovery": "none"}, tuple(sorted(unpruned))
        yield from own


def _written_tasks(study: PrunedStudy) -> list[str]:
    """The tasks whose responses are looked at: those of the generation family, and the one of brackets."""
    tasks, brackets = study.report.generation, study.report.pruning.brackets
    return [*tasks, *([brackets] if brackets and brackets not in tasks else [])]


def draw_errors(table: pandas.DataFrame) -> Drawing:
    """A row per setting; a panel per task. Of many kinds, right responses and the most frequent errors stand alone."""
    tasks, columns = list(table["task"].unique()), list(table.columns)
    kinds = columns[columns.index("task") + 1 : columns.index("models")]
    table = table.fillna(dict.fromkeys(kinds, 0.0))
    if len(kinds) > MOST_KINDS:
        shown = list(table[kinds].sum().drop(RIGHT).nlargest(MOST_KINDS - 2).index)
        rare = [kind for kind in kinds if kind not in (RIGHT, *shown)]
        table, kinds = table.assign(**{OTHERS: table[rare].sum(axis=1)}), [RIGHT, *sorted(shown), OTHERS]
    colours = dict(zip(kinds, [plot.COLOURS[number] for number in (2, 0, 4, 1, 5, 3)], strict=False))
    names = table["of"] + ", " + table["method"] + " " + table["setting"]
    names = names.where(table["method"] != "none", table["of"] + ", unpruned") + table["recovery"].map(plot.recovered)
    settings = list(names.unique())
    drawing, (row,) = plot.panels(1, len(tasks), (3.4 + 3.2 * len(tasks), 1.5 + 0.26 * len(settings)))
    for axes, task in zip(row, tasks, strict=True):
        rows = table[table["task"] == task]
        places, left = [settings.index(name) for name in names[rows.index]], np.zeros(len(rows))
        for kind in kinds:
            axes.barh(places, rows[kind], 0.75, left=left, label=kind, color=colours[kind])
            left += rows[kind].to_numpy()
        axes.set(title=task, xlabel="share of responses", xlim=(0, 1))
    plot.rows_down(row[0], settings)
    plot.legend_of(row[0], below=len(kinds))
    return drawing
