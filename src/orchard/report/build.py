"""Writes the study's report: claims with verdicts, tables, figures and a web page."""

import json
from pathlib import Path

import pandas

from orchard import paths
from orchard.lineage import lock
from orchard.report.claims import judge, pear
from orchard.report.claims.finding import Finding
from orchard.report.evaluations import Evaluations, tidy
from orchard.report.figures.figure import Figure
from orchard.report.figures.sections import sections
from orchard.report.page import page, samples
from orchard.report.pear_study import PearStudy
from orchard.report.pruned_study import PrunedStudy
from orchard.study.schema.report import Report


def write(folder: Path, study: str, report: Report, evaluations: Evaluations) -> None:
    """Writes the report.

    Args:
        folder: where it goes.
        study: the study's name.
        report: what the claims are tested on.
        evaluations: of the study.
    """
    pear_study, pruned_study = PearStudy(evaluations, report), PrunedStudy(evaluations, report)
    results = tidy(evaluations)
    results.to_parquet(folder / "results.parquet", index=False)
    results.to_csv(folder / "results.csv", index=False, float_format="%.6f")
    judge.judge_all(pear_study, pruned_study).to_csv(folder / "claims.csv", index=False, float_format="%.6f")
    judged = pandas.read_csv(folder / "claims.csv", dtype={"n": "Int64"})  # the page shows what the file says
    twins, trails = pear.twins(pear_study), trails_of(evaluations)
    figures = sections(pear_study, pruned_study, judged, trails)
    for figure in (figure for section in figures.values() for figure in section):
        figure.save(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics(judged, figures["PEAR"], twins), indent=2) + "\n")
    (folder / "summary.md").write_text(page.markdown(judged, study, report.confidence))
    (folder / "index.html").write_text(
        page.html(
            study=study,
            confidence=report.confidence,
            claims=page.claim_rows(judged),
            sections=figures,
            folder=folder,
            results=page.results_table(results, evaluations.score_metrics),
            chains=evaluations.chains(),
            recipes=evaluations.recipes(),
            unreported=pruned_study.unreported(),
            chosen_on=evaluations.chosen_on(),
            twins=twins,
            names=report.pear and report.pear.twins,
            trails=trails,
            wrong=samples.wrong_answers(paths.EVALUATIONS),
        )
    )


def metrics(judged: pandas.DataFrame, figures: list[Figure], twins: Finding | None) -> dict[str, float]:
    """Flat numbers for `dvc metrics show`: each tested claim's estimate and interval, pass@1 by objective, twins."""
    tested = judged[~judged["id"].str.contains("/")]
    numbers = tested.melt("id", ["ours", "low", "high"]).dropna()
    found = {f"{row.id}_{row.variable}": row.value for row in numbers.itertuples()}
    for row in (row for figure in figures if figure.name == "reinforcement" for row in figure.table.to_dict("records")):
        found[f"{row['objective']}_{row['when'].replace(' ', '_')}_pass@1"] = round(row["pass@1"], 6)
    if twins:
        ends = {"ours": twins.interval.value, "low": twins.interval.low, "high": twins.interval.high}
        found |= {f"twins_{name}": round(value, 6) for name, value in ends.items()}
    return found


def trails_of(evaluations: Evaluations) -> dict[str, list[dict]]:
    """For each model the stages from the data to its evaluation; empty where no dvc.lock has them."""
    stages = lock.present(lock.read_if_there())
    return {name: lock.chain(str(evaluations.folder(name)), stages) for name in evaluations.facts}
