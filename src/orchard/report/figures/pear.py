"""PEAR's figures: what SFT left, what RL made of it, and the way there. A figure's drawing stands below it."""

from collections.abc import Iterator

import numpy as np
import pandas

from orchard.report import statistics
from orchard.report.figures import plot
from orchard.report.figures.figure import Figure, bars_are, numbers
from orchard.report.figures.plot import Drawing
from orchard.report.pear_study import NO_SFT, PearStudy, place

QUARTERS = 4  # of the steps of RL: ours, enough to see a trend, and each the mean over hundreds of responses
LEGEND = "SFT objective"


def reinforcement(study: PearStudy) -> Figure:
    """pass@1 of each SFT objective before and after RL: mean over chains and questions, with its interval."""
    rows = []
    for stage, when in (("sft", "before RL"), ("rl", "after RL")):
        for objective, models in study.models(stage).items():
            if study.scored(tuple(models)):
                found = statistics.mean([study.scores(models)]).interval(study.confidence)
                facts = {"objective": objective, "when": when, "task": study.pear.task}
                rows.append(facts | numbers("pass@1", found, "replicates"))
    return Figure(
        "reinforcement",
        "pass@1 before and after RL",
        f"The same RL from each SFT objective. {bars_are(study.confidence)}",
        pandas.DataFrame(sorted(rows, key=lambda row: place(row["objective"]))),
        draw_reinforcement,
    )


def draw_reinforcement(table: pandas.DataFrame) -> Drawing:
    """A line per objective."""
    drawing, axes = plot.panel(6.4, 4)
    groups = {plot.label(objective): rows for objective, rows in table.groupby("objective", sort=False)}
    ticks = {when: when for when in ("before RL", "after RL")}
    plot.grouped(axes, groups, "when", "pass@1", ticks, room=min(0.04 * len(groups), 0.4))
    axes.set(xlim=(-0.25, 1.25), ylim=plot.bounded(table, "pass@1"), ylabel=f"pass@1 on {table['task'].iloc[0]}")
    plot.legend_beside(axes, LEGEND)
    return drawing


def doses(study: PearStudy) -> Figure:
    """What each objective gains over plain SFT after RL, on each of several data sets, the least foreign first."""
    sets = sorted({facts["data"] for facts in study.evaluations.facts.values() if facts["stage"] == "sft"})
    rows = [row for data in sets for row in _gains(study.on(data))] if len(sets) > 1 else []
    return Figure(
        "doses",
        "When does PEAR help?",
        "pass@1 after RL minus that of plain SFT at the learning rate that is best on the same data. Data sets: the "
        f"least foreign first (nats: mean of log pi_beta − log pi_0 a token). {bars_are(study.confidence)}",
        pandas.DataFrame(sorted(rows, key=lambda row: (row["mismatch"], row["objective"]))),
        draw_doses,
    )


def _gains(study: PearStudy) -> Iterator[dict]:
    """The rows of one data set.

    Plain SFT is the best of its learning rates, picked on the scores that are compared, which favours it. The mismatch
    of a data set is the mean of log pi_beta − log pi_0 over its tokens, in nats.
    """
    after = {name: models for name, models in study.models("rl").items() if study.scored(tuple(models))}
    scores = {name: study.scores(models).mean() for name, models in after.items()}
    plain = [name for name in study.pear.plain if name in scores]
    if not plain:
        return
    best = max(plain, key=scores.get)
    learnt = [
        study.evaluations.records[name].get("learnt") for models in study.models("sft").values() for name in models
    ]
    mismatch = -float(np.mean([what["mean_log_ratio"] for what in learnt if what]))
    for name in sorted(scores.keys() - {NO_SFT, best}):
        if pairs := study.pairs(name, best, "rl"):
            facts = {"data": study.pear.data, "mismatch": mismatch, "objective": name, "plain": best}
            facts |= {"pass@1": scores[name], "pass@1_plain": scores[best]}
            yield facts | numbers("gain", study.difference(pairs).interval(study.confidence), "replicates")


def draw_doses(table: pandas.DataFrame) -> Drawing:
    """A colour per objective."""
    drawing, axes = plot.panel(8.4, 4.2)
    groups = {plot.label(objective): rows for objective, rows in table.groupby("objective")}
    ticks = {own.data: _in_words(own, "\n") for own in table.drop_duplicates("data").itertuples()}
    plot.grouped(axes, groups, "data", "gain", ticks, room=0.6, linestyle="")
    axes.axhline(0, color=plot.INK, linewidth=0.8)
    axes.set(ylim=plot.around_zero(table["gain"], least=0.05), ylabel="pass@1 after RL, minus the best plain SFT")
    plot.legend_beside(axes, LEGEND)
    return drawing


def _in_words(data, between: str) -> str:
    """A data set's name, mismatch and best plain objective, from a row of its table."""
    return f"{data.data}{between}{data.mismatch:.1f} nats\nbest: {data.plain}"


def courses(study: PearStudy, doses: pandas.DataFrame) -> Figure:
    """`doses` over the length of RL: the reward minus that from the same plain SFT, by quarter of the steps.

    The reward is that of the training prompts, which are the same for all starts of a chain.
    """
    rows = []
    for row in doses.to_dict("records"):
        after = study.on(row["data"]).models("rl")
        ours, theirs = (_rewards(study, after[row[name]]) for name in ("objective", "plain"))
        facts = {key: row[key] for key in ("data", "mismatch", "objective", "plain")}
        for until, gains in (ours - theirs).dropna(axis=1).iterrows():
            found = statistics.over_replicates(gains.to_numpy(), study.confidence)
            rows.append(facts | {"until_step": until} | numbers("gain", found, "replicates"))
    return Figure(
        "courses",
        "Does the gain last as RL goes on?",
        "The mean reward of training prompts in each quarter of RL's steps, minus that from the same plain SFT as "
        "above. Without bars, which the table has: n is small and the lines would hide one another.",
        pandas.DataFrame(rows),
        draw_courses,
    )


def _rewards(study: PearStudy, models: list[str]) -> pandas.DataFrame:
    """The mean reward in each quarter of RL's steps: a row per quarter, by its last step, a column per replicate."""
    found, facts = {}, study.evaluations.facts
    for name in models:
        rewards = pandas.Series({step["step"]: step["reward"] for step in study.evaluations.records[name]["curve"]})
        parts = [part for part in np.array_split(rewards.index, QUARTERS) if len(part)]
        found[facts[name]["base"], facts[name]["seed"]] = {int(part[-1]): rewards[part].mean() for part in parts}
    chains = pandas.DataFrame(found)
    bases = chains.columns.get_level_values(0)
    return chains if bases.nunique() == 1 else chains.T.groupby(bases).mean().T


def draw_courses(table: pandas.DataFrame) -> Drawing:
    """A panel per data set, a line per objective."""
    sets = table.drop_duplicates("data")
    drawing, (row,) = plot.panels(1, len(sets), (2.2 + 2.5 * len(sets), 3.8))
    for axes, own in zip(row, sets.itertuples(), strict=True):
        plot.lines(axes, table[table["data"] == own.data], sorted(table["objective"].unique()), "until_step", "gain")
        axes.axhline(0, color=plot.INK, linewidth=0.8)
        axes.set(title=_in_words(own, ", "), xlabel="until step of RL", xticks=sorted(table["until_step"].unique()))
    row[0].set_ylabel("reward minus the best plain SFT's")
    plot.legend_of(row[0], LEGEND)
    return drawing


def curves(study: PearStudy) -> Figure:
    """The course of RL from each objective's checkpoints: reward, entropy, length and KL at each step, over chains."""
    rows = [
        {"objective": objective, **step, "seed": name}
        for objective, models in study.models("rl").items()
        for name in models
        for step in study.evaluations.records[name]["curve"]
    ]
    return Figure(
        "curves",
        "The course of RL",
        "Reward, length and entropy of the responses to the training prompts at each step of RL, and KL from its start "
        "where the recipe has it measured: means over replicates. KL is TRL's estimate (k3) from the sampled tokens. "
        "Without bars: the lines are noisy, and no claim rests on them.",
        _over_chains(rows, ["objective", "step"]),
        draw_curves,
        tabled=False,
    )


def draw_curves(table: pandas.DataFrame) -> Drawing:
    """A panel per quantity, a line per objective."""
    titles = {"reward": "mean reward", "length": "tokens a response", "entropy": "entropy, nats a token"}
    titles |= {"kl": "KL from the start, nats a token"} if "kl" in table else {}
    drawing, grid = plot.panels(2, 2, (9.4, 6.6), sharey=False)
    for axes in grid.flat[len(titles) :]:
        axes.remove()
    for axes, (name, title) in zip(grid.flat, titles.items(), strict=False):
        plot.lines(axes, table, list(table["objective"].unique()), "step", name, marked=False)
        axes.set(title=title, xlabel="step of RL", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
    plot.legend_of(grid[0, 0], LEGEND)
    return drawing


def drift(study: PearStudy) -> Figure:
    """How far RL moved the parameters from each objective's checkpoints, as a share of their norm: mean over chains."""
    rows = []
    for objective, models in study.models("rl").items():
        found = statistics.over_replicates(study.drift(models), study.confidence)
        rows.append({"objective": objective} | numbers("drift", found, "replicates"))
    return Figure(
        "drift",
        "How far RL moves the parameters",
        "Euclidean distance of all parameters from the checkpoint that RL started from, as a share of the norm of that "
        f"checkpoint. Bars are {study.confidence:.0%} intervals over chains, if there are several. Long bars leave "
        "the picture; the table has their ends.",
        pandas.DataFrame(rows),
        draw_drift,
    )


def draw_drift(table: pandas.DataFrame) -> Drawing:
    """A row per objective, in the order of the table."""
    drawing, axes = plot.panel(6.4, 1.1 + 0.3 * len(table))
    for number in range(len(table)):
        plot.dots_across(axes, number, table.iloc[[number]], "drift", **plot.style(number))
    plot.rows_down(axes, [plot.label(objective) for objective in table["objective"]])
    axes.set(xlim=(0, max(1.6 * table["drift"].max(), 1e-12)))
    axes.set_xlabel("parameters' distance from the start of RL, share of their norm")
    return drawing


def weights(study: PearStudy) -> Figure:
    """PEAR's mean weight in each tenth of the completion, at the beginning of SFT and at its end: mean over chains."""
    rows = [
        {"objective": objective, "when": when, "tenth": tenth, "weight": weight, "seed": name}
        for objective, models in study.models("sft").items()
        for name in models
        for when, means in study.evaluations.records[name].get("learnt", {}).get("weights", {}).items()
        for tenth, weight in enumerate(means["parts"], start=1)
        if weight is not None
    ]
    return Figure(
        "weights",
        "Where PEAR's weight goes",
        "Mean weight of a token by its place in the completion, in the first and the last tenth of the steps of SFT, "
        "mean over replicates.",
        _over_chains(rows, ["objective", "when", "tenth"]),
        draw_weights,
        tabled=False,
    )


def draw_weights(table: pandas.DataFrame) -> Drawing:
    """A panel for each end of training, a line per objective."""
    drawing, (row,) = plot.panels(1, 2, (8.4, 3.8))
    for axes, (when, title) in zip(row, (("early", "first"), ("late", "last")), strict=True):
        plot.lines(axes, table[table["when"] == when], list(table["objective"].unique()), "tenth", "weight")
        axes.set(title=f"{title} tenth of SFT", xlabel="tenth of the completion", xticks=[1, 4, 7, 10])
        if table["weight"].min() > 0 and table["weight"].max() > 10 * table["weight"].min():
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    row[0].set_ylabel("mean weight of a token")
    plot.legend_of(row[0], LEGEND)
    return drawing


def _over_chains(rows: list[dict], keys: list[str]) -> pandas.DataFrame:
    """The mean of every other column over the models of each key, in the order in which keys come, and their number."""
    if not rows:
        return pandas.DataFrame()
    groups = pandas.DataFrame(rows).groupby(keys, sort=False)
    return groups.mean(numeric_only=True).assign(models=groups.size()).reset_index()
