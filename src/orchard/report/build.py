"""Writes the study's report: claims with verdicts, tables, figures and a web page."""

import json
from pathlib import Path

import pandas

from orchard.lineage import lock
from orchard.report import evaluations as rows
from orchard.report.claims import judge as claims
from orchard.report.evaluations import Evaluations
from orchard.report.figures import drawings as figures
from orchard.report.figures import graph, tables
from orchard.report.figures.drawings import Figure
from orchard.report.page import page, samples
from orchard.study.schema.report import Report


def write(folder: Path, study: str, asked: Report, evaluations: Evaluations) -> None:
    """Writes the report.

    Args:
        folder: where it goes.
        study: the study's name.
        asked: what the claims are tested on.
        evaluations: of the study.
    """
    settings = asked.model_dump()
    results = rows.tidy(evaluations)
    judged = claims.judge_all(evaluations, settings)
    results.to_parquet(folder / "results.parquet", index=False)
    results.to_csv(folder / "results.csv", index=False, float_format="%.6f")
    judged.to_csv(folder / "claims.csv", index=False, float_format="%.6f")
    judged = pandas.read_csv(folder / "claims.csv", dtype={"n": "Int64"})  # the page shows what the file says
    trails = trails_of(evaluations)
    drawn = make_figures(evaluations, settings, judged, trails)
    for figure in drawn:
        figure.save(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics(evaluations, settings, judged), indent=2) + "\n")
    (folder / "summary.md").write_text(page.markdown(judged, study, settings["confidence"]))
    (folder / "index.html").write_text(
        page.html(
            study=study,
            confidence=settings["confidence"],
            claims=page.claim_rows(judged),
            figures={figure.name: (figure, figure.inline_svg(folder)) for figure in drawn},
            results=page.results_table(results),
            seeds=seeds(evaluations),
            recipes=evaluations.recipes(),
            unreported=tables.unreported(evaluations, settings),
            chosen_on=tables.chosen_on(evaluations).to_dict("records"),
            trails=trails,
            twins=claims.twins(evaluations, settings),
            wrong=samples.wrong_answers(Path("results/evals")),
        )
    )


def make_figures(
    evaluations: Evaluations, settings: dict, judged: pandas.DataFrame, trails: dict[str, list[dict]]
) -> list[Figure]:
    """The figures that the study has data for."""
    bars = (
        f"Bars are {settings['confidence']:.0%} intervals over replicates and questions; "
        "over questions alone where there is one replicate. Long bars leave the picture; the table has their ends."
    )
    verdicts = Figure(
        "claims-at-a-glance",
        "How clear is each claim?",
        "The measure of each tested claim minus its threshold, in points, turned so that the paper's side is to the "
        f"right; bars are {settings['confidence']:.0%} intervals and may leave the picture. Claims differ in what they "
        "measure: compare a bar with the line, not with its neighbours.",
        tables.sides(judged),
        figures.claims,
        tabled=False,
    )
    made = Figure(
        "stages",
        "The stages behind this report",
        "Families of stages and their numbers. An arrow goes from a family to one that reads what it wrote; where a "
        "longer way joins two, the table alone has the shorter one.",
        graph.families(trails),
        figures.stages,
    )
    of_papers = pear_figures(evaluations, settings, bars) + pruning_figures(evaluations, settings, bars)
    return [figure for figure in [verdicts, *of_papers, made] if len(figure.table)]


def pear_figures(evaluations: Evaluations, settings: dict, bars: str) -> list[Figure]:
    """What SFT left, what RL made of it, and the way there."""
    doses = tables.doses(evaluations, settings)
    return [
        Figure(
            "reinforcement",
            "pass@1 before and after RL",
            f"The same RL from each SFT objective. {bars}",
            tables.reinforcement(evaluations, settings),
            figures.reinforcement,
        ),
        Figure(
            "curves",
            "The course of RL",
            "Reward, length, KL from the start of RL and entropy of the responses to the training prompts at each "
            "step, mean over replicates. KL is TRL's estimate (k3) from the sampled tokens. "
            "Without bars: the lines are noisy, and no claim rests on them.",
            tables.curves(evaluations, settings),
            figures.curves,
            tabled=False,
        ),
        Figure(
            "doses",
            "When does PEAR help?",
            "pass@1 after RL minus that of plain SFT at the learning rate that is best on the same data. Data sets: "
            f"the least foreign first (nats: mean of log pi_beta − log pi_0 a token). {bars}",
            doses,
            figures.doses,
        ),
        Figure(
            "courses",
            "Does the gain last as RL goes on?",
            "The mean reward of training prompts in each quarter of RL's steps, minus that from the same plain SFT as "
            "above. Without bars, which the table has: n is small and the lines would hide one another.",
            tables.courses(evaluations, settings, doses),
            figures.courses,
        ),
        Figure(
            "drift",
            "How far RL moves the parameters",
            "Euclidean distance of all parameters from the checkpoint that RL started from, as a share of the norm of "
            f"that checkpoint. Bars are {settings['confidence']:.0%} intervals over replicates, if there are several. "
            "Long bars leave the picture; the table has their ends.",
            tables.drift(evaluations, settings),
            figures.drift,
        ),
        Figure(
            "weights",
            "Where PEAR's weight goes",
            "Mean weight of a token by its place in the completion, in the first and the last tenth of the steps of "
            "SFT, mean over replicates.",
            tables.weights(evaluations, settings),
            figures.weights,
            tabled=False,
        ),
    ]


def pruning_figures(evaluations: Evaluations, settings: dict, bars: str) -> list[Figure]:
    """What pruning leaves, and what recovery brings back."""
    retained = tables.retentions(evaluations, settings)
    return [
        Figure(
            "retention",
            "What pruning leaves, without recovery",
            f"Pruned score as a share of the unpruned one, of generation and of classification. {bars}",
            retained[retained["recovery"] == "none"],
            figures.retention,
        ),
        Figure(
            "recovery",
            "What recovery brings back",
            "Retention of pruned models without recovery, after training on open data, and after training on the "
            f"unpruned model's own responses. {bars}",
            tables.recovered(retained),
            figures.recovery,
        ),
        Figure(
            "speeds",
            "What the loss buys",
            "Retention over the measured speed-up against the unpruned model: of decoding for generation, of prefill "
            f"for classification. docs/pruning/speed.csv has the times. {bars}",
            tables.speeds(evaluations, retained),
            figures.speeds,
        ),
        Figure(
            "tokens",
            "What more recovery brings",
            f"Retention over the answer tokens that recovery saw. {bars}",
            tables.tokens(evaluations, settings),
            figures.tokens,
        ),
        Figure(
            "skips",
            "What one layer holds",
            "Retention of models that lack a single layer, by task; the table has intervals. Colours end at 0 and 1.",
            tables.skips(evaluations, settings),
            figures.skips,
        ),
        Figure(
            "degeneration",
            "Is the loss degeneration?",
            "The change of rep-4 (1 − unique / total 4-grams) from the unpruned model, over what is left of pass@1. "
            f"The band is the margin of claim L6, 4 points. {bars}",
            tables.degeneration(evaluations, settings),
            figures.degeneration,
        ),
        Figure(
            "errors",
            "What is wrong with the responses?",
            "Shares of responses, mean over replicates: right, and what is wrong with the others, the first that holds "
            "of unbalanced brackets, cut off, no answer, wrong answer. Without bars: the claims have them.",
            tables.errors(evaluations, settings),
            figures.errors,
        ),
        Figure(
            "probes",
            "Arithmetic alone",
            "Accuracy on single digits, the likeliest of the ten: unpruned, pruned, recovered on self-generated data. "
            f"{bars}",
            tables.probes(evaluations, settings),
            figures.probes,
        ),
        Figure(
            "protocols",
            "Tasks, or the way of scoring?",
            "Retention scored as multiple choice minus retention scored as generation, without recovery: of the two "
            f"families of tasks, and of the same items asked both ways. {bars}",
            tables.protocols(evaluations, settings),
            figures.protocols,
        ),
    ]


def metrics(evaluations: Evaluations, settings: dict, judged: pandas.DataFrame) -> dict[str, float]:
    """Flat numbers for `dvc metrics show`: each tested claim's estimate and interval, pass@1 by objective, twins."""
    tested = judged[~judged["id"].str.contains("/")]
    numbers = tested.melt("id", ["ours", "low", "high"]).dropna()
    found = {f"{row.id}_{row.variable}": row.value for row in numbers.itertuples()}
    for row in tables.reinforcement(evaluations, settings).to_dict("records"):
        found[f"{row['objective']}_{row['when'].replace(' ', '_')}_pass@1"] = round(row["pass@1"], 6)
    if twins := claims.twins(evaluations, settings):
        found |= {f"twins_{name}": round(twins[name], 6) for name in ("ours", "low", "high")}
    return found


def trails_of(evaluations: Evaluations) -> dict[str, list[dict]]:
    """For each model the stages from the data to its evaluation; empty where no dvc.lock tells them."""
    stages = lock.present(lock.read_if_there())
    return {name: lock.chain(f"results/evals/{name}", stages) for name in evaluations.facts}


def seeds(evaluations: Evaluations) -> dict[str, int]:
    """The number of replicates of each group of trained models, and of recovery runs."""
    found: dict[str, set] = {}
    for name, own in evaluations.facts.items():
        if own["stage"] in ("sft", "rl"):
            found.setdefault(evaluations.group(name), set()).add(own["seed"])
        if own["stage"] == "recover":
            found.setdefault(f"recovery of {evaluations.group(own['of'])}", set()).add((own["of"], own["seed"]))
    return {group: len(members) for group, members in sorted(found.items())}
