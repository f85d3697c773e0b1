"""PEAR's figures: what SFT left, what RL made of it, and the way there. Each as table, drawing, and both with words."""

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


# pass@1 before and after RL


def reinforcement(study: PearStudy) -> Figure:
    """pass@1 before and after RL, a line per objective."""
    return Figure(
        name="reinforcement",
        title="pass@1 before and after RL",
        caption=f"The same RL from each SFT objective. {bars_are(study.confidence)}",
        table=reinforcement_table(study),
        draw=draw_reinforcement,
    )


def reinforcement_table(study: PearStudy) -> pandas.DataFrame:
    """pass@1 of each SFT objective before and after RL: mean over seeds and questions, with its interval."""
    rows = []
    for stage, when in (("sft", "before RL"), ("rl", "after RL")):
        for objective, models in study.models(stage).items():
            if study.scored(tuple(models)):
                found = statistics.mean([study.scores(models)]).interval(study.confidence)
                facts = {"objective": objective, "when": when, "task": study.pear.task}
                rows.append(facts | numbers("pass@1", found, "seeds"))
    return pandas.DataFrame(sorted(rows, key=lambda row: place(row["objective"])))


def draw_reinforcement(table: pandas.DataFrame) -> Drawing:
    drawing, axes = plot.canvas(6.4, 4)
    objectives = list(table["objective"].unique())
    for number, objective in enumerate(objectives):
        rows = table[table["objective"] == objective]
        aside = plot.shift(number, len(objectives), min(0.04, 0.4 / len(objectives)))
        places = [{"before RL": 0, "after RL": 1}[when] + aside for when in rows["when"]]
        plot.dots(axes, places, rows, "pass@1", label=plot.label(objective), **plot.style(number))
    axes.set_xticks([0, 1], ["before RL", "after RL"])
    axes.set_xlim(-0.25, 1.25)
    axes.set_ylim(*plot.bounded(table, "pass@1"))
    axes.set_ylabel(f"pass@1 on {table['task'].iloc[0]}")
    plot.legend_beside(axes, LEGEND)
    return drawing


# The gain over plain SFT, by data set


def doses(study: PearStudy) -> Figure:
    """The gain over plain SFT after RL on each data set, a colour per objective."""
    return Figure(
        name="doses",
        title="When does PEAR help?",
        caption="pass@1 after RL minus that of plain SFT at the learning rate that is best on the same data. Data sets: "
        f"the least foreign first (nats: mean of log pi_beta − log pi_0 a token). {bars_are(study.confidence)}",
        table=doses_table(study),
        draw=draw_doses,
    )


def doses_table(study: PearStudy) -> pandas.DataFrame:
    """What each objective gains over plain SFT after RL, on each of several data sets, the least foreign first.

    Plain SFT is the best of its learning rates on each data set, picked on the scores that are compared, which favours
    it. The mismatch of a data set is the mean of log pi_beta − log pi_0 over its tokens, in nats.
    """
    sets = {facts["data"] for facts in study.evaluations.facts.values() if facts["stage"] == "sft"}
    rows = [row for data in sorted(sets) for row in _gains(study.on(data))] if len(sets) > 1 else []
    if not rows:
        return pandas.DataFrame()
    return pandas.DataFrame(rows).sort_values(["mismatch", "objective"], ignore_index=True)


def _gains(study: PearStudy) -> Iterator[dict]:
    """The rows of one data set."""
    scores = {name: study.scores(models).mean() for name, models in study.models("rl").items()}
    plain = [name for name in study.pear.plain if name in scores]
    if not plain:
        return
    best = max(plain, key=scores.get)
    facts = {"data": study.pear.data, "mismatch": _mismatch(study)}
    for name in sorted(scores.keys() - {NO_SFT, best}):
        if pairs := study.pairs(name, best, "rl"):
            found = study.difference(pairs).interval(study.confidence)
            means = {"pass@1": scores[name], "pass@1_plain": scores[best]}
            yield {**facts, "objective": name, "plain": best, **means, **numbers("gain", found, "seeds")}


def _mismatch(study: PearStudy) -> float:
    """The mean of log pi_beta − log pi_0 over the tokens of the data set, in nats."""
    models = [name for names in study.models("sft").values() for name in names]
    learnt = [study.evaluations.records[name].get("learnt") for name in sorted(models)]
    return -float(np.mean([what["mean_log_ratio"] for what in learnt if what]))


def draw_doses(table: pandas.DataFrame) -> Drawing:
    drawing, axes = plot.canvas(8.4, 4.2)
    sets = table.drop_duplicates("data")
    objectives = sorted(table["objective"].unique())
    for number, objective in enumerate(objectives):
        rows = table[table["objective"] == objective]
        aside = plot.shift(number, len(objectives), 0.6 / len(objectives))
        places = [list(sets["data"]).index(data) + aside for data in rows["data"]]
        plot.dots(axes, places, rows, "gain", label=plot.label(objective), **plot.style(number) | {"linestyle": ""})
    plot.level(axes, 0)
    axes.set_xticks(range(len(sets)), [_of_set(row, "\n") for row in sets.itertuples()])
    axes.set_ylim(*plot.around_zero(table["gain"], least=0.05))
    axes.set_ylabel("pass@1 after RL, minus the best plain SFT")
    plot.legend_beside(axes, LEGEND)
    return drawing


def _of_set(row, between: str) -> str:
    """A data set's name, mismatch and best plain objective."""
    return f"{row.data}{between}{row.mismatch:.1f} nats\nbest: {row.plain}"


# The same over the length of RL


def courses(study: PearStudy, doses: pandas.DataFrame) -> Figure:
    """The lead in reward over plain SFT in each part of RL; a panel per data set, a line per objective."""
    return Figure(
        name="courses",
        title="Does the gain last as RL goes on?",
        caption="The mean reward of training prompts in each quarter of RL's steps, minus that from the same plain SFT as "
        "above. Without bars, which the table has: n is small and the lines would hide one another.",
        table=courses_table(study, doses),
        draw=draw_courses,
    )


def courses_table(study: PearStudy, doses: pandas.DataFrame) -> pandas.DataFrame:
    """`doses` over the length of RL: the reward minus that from the same plain SFT, by quarter of the steps.

    The reward is that of the training prompts, which are the same for all starts of a seed.
    """
    rows = []
    for row in doses.to_dict("records"):
        after = study.on(row["data"]).models("rl")
        ours, theirs = (_rewards(study, after[name]) for name in (row["objective"], row["plain"]))
        facts = {key: row[key] for key in ("data", "mismatch", "objective", "plain")}
        for until, gains in (ours - theirs).dropna(axis=1).iterrows():
            found = statistics.over_replicates(gains.to_numpy(), study.confidence)
            rows.append(facts | {"until_step": until, **numbers("gain", found, "seeds")})
    return pandas.DataFrame(rows)


def _rewards(study: PearStudy, models: list[str]) -> pandas.DataFrame:
    """The mean reward in each quarter of the steps of RL, a row per quarter by its last step, a column per seed."""
    found = {}
    for name in models:
        rewards = pandas.Series({step["step"]: step["reward"] for step in study.evaluations.records[name]["curve"]})
        parts = [part for part in np.array_split(rewards.index, QUARTERS) if len(part)]
        found[study.evaluations.facts[name]["seed"]] = {int(part[-1]): rewards[part].mean() for part in parts}
    return pandas.DataFrame(found)


def draw_courses(table: pandas.DataFrame) -> Drawing:
    sets = table.drop_duplicates("data")
    drawing, (row,) = plot.panels(1, len(sets), 2.2 + 2.5 * len(sets), 3.8)
    for axes, own in zip(row, sets.itertuples(), strict=True):
        plot.lines(axes, table[table["data"] == own.data], sorted(table["objective"].unique()), "until_step", "gain")
        plot.level(axes, 0)
        axes.set(title=_of_set(own, ", "), xlabel="until step of RL")
        axes.set_xticks(sorted(table["until_step"].unique()))
    row[0].set_ylabel("reward minus the best plain SFT's")
    plot.legend_of(row[0], LEGEND)
    return drawing


# The course of RL


def curves(study: PearStudy) -> Figure:
    """Reward, response length, KL from the start and entropy over the steps of RL, a line per objective."""
    return Figure(
        name="curves",
        title="The course of RL",
        caption="Reward, length, KL from the start of RL and entropy of the responses to the training prompts at each "
        "step, mean over replicates. KL is TRL's estimate (k3) from the sampled tokens. "
        "Without bars: the lines are noisy, and no claim rests on them.",
        table=curves_table(study),
        draw=draw_curves,
        tabled=False,
    )


def curves_table(study: PearStudy) -> pandas.DataFrame:
    """The course of RL from each objective's checkpoints: reward, entropy, length and KL at each step, over seeds."""
    rows = [
        {"objective": objective, **step, "seed": name}
        for objective, models in study.models("rl").items()
        for name in models
        for step in study.evaluations.records[name]["curve"]
    ]
    return _over_seeds(rows, ["objective", "step"])


def draw_curves(table: pandas.DataFrame) -> Drawing:
    drawing, grid = plot.panels(2, 2, 9.4, 6.6, sharey=False)
    titles = {"reward": "mean reward", "length": "tokens a response"}
    titles |= {"kl": "KL from the start, nats a token", "entropy": "entropy, nats a token"}
    for axes, (name, title) in zip(grid.flat, titles.items(), strict=True):
        plot.lines(axes, table, list(table["objective"].unique()), "step", name, marked=False)
        axes.set(title=title, xlabel="step of RL")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
    plot.legend_of(grid[0, 0], LEGEND)
    return drawing


# How far RL moves the parameters


def drift(study: PearStudy) -> Figure:
    """Relative drift during RL, a row per objective, in the order of the table."""
    return Figure(
        name="drift",
        title="How far RL moves the parameters",
        caption="Euclidean distance of all parameters from the checkpoint that RL started from, as a share of the norm of "
        f"that checkpoint. Bars are {study.confidence:.0%} intervals over replicates, if there are several. "
        "Long bars leave the picture; the table has their ends.",
        table=drift_table(study),
        draw=draw_drift,
    )


def drift_table(study: PearStudy) -> pandas.DataFrame:
    """How far RL moved the parameters from each objective's checkpoints, as a share of their norm: mean over seeds."""
    rows = []
    for objective, models in study.models("rl").items():
        found = statistics.over_replicates(np.array([study.drift(name) for name in models]), study.confidence)
        rows.append({"objective": objective, **numbers("drift", found, "seeds")})
    return pandas.DataFrame(rows)


def draw_drift(table: pandas.DataFrame) -> Drawing:
    drawing, axes = plot.canvas(6.4, 1.1 + 0.3 * len(table))
    for number in range(len(table)):
        plot.dots_across(axes, number, table.iloc[[number]], "drift", **plot.style(number) | {"linestyle": "none"})
    axes.set_yticks(range(len(table)), map(plot.label, table["objective"]))
    axes.invert_yaxis()
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, max(1.6 * table["drift"].max(), 1e-12))
    axes.set_xlabel("parameters' distance from the start of RL, share of their norm")
    return drawing


# Where PEAR's weight goes


def weights(study: PearStudy) -> Figure:
    """PEAR's mean weight over the completion, a line per objective; a panel for each end of training."""
    return Figure(
        name="weights",
        title="Where PEAR's weight goes",
        caption="Mean weight of a token by its place in the completion, in the first and the last tenth of the steps of "
        "SFT, mean over replicates.",
        table=weights_table(study),
        draw=draw_weights,
        tabled=False,
    )


def weights_table(study: PearStudy) -> pandas.DataFrame:
    """PEAR's mean weight in each tenth of the completion, at the beginning of SFT and at its end: mean over seeds."""
    rows = [
        {"objective": objective, "when": when, "tenth": tenth, "weight": weight, "seed": name}
        for objective, models in study.models("sft").items()
        for name in models
        for when, means in study.evaluations.records[name].get("learnt", {}).get("weights", {}).items()
        for tenth, weight in enumerate(means["parts"], start=1)
        if weight is not None
    ]
    return _over_seeds(rows, ["objective", "when", "tenth"])


def draw_weights(table: pandas.DataFrame) -> Drawing:
    drawing, (row,) = plot.panels(1, 2, 8.4, 3.8)
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


def _over_seeds(rows: list[dict], keys: list[str]) -> pandas.DataFrame:
    """The mean of every other column over the seeds of each key, in the order in which keys come, and their number."""
    if not rows:
        return pandas.DataFrame()
    groups = pandas.DataFrame(rows).groupby(keys, sort=False)
    return groups.mean(numeric_only=True).assign(seeds=groups.size()).reset_index()
