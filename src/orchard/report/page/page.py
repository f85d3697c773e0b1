"""The report as a web page that needs nothing beside it, and its claims table as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchard.report.claims import claim as claims
from orchard.report.claims.judge import NOT_TESTED, TEXTS, UNCORRECTED, VERDICTS, in_words

PAPERS = {
    "PEAR": "PEAR: Good SFT Optimizes for SFT, Better SFT Prepares for Reinforcement Learning (arXiv 2602.01058)",
    "LLP": "On the Limits of Layer Pruning for Generative Reasoning in LLMs (arXiv 2602.01997)",
}

SETTINGS_SHOWN = 20  # of one claim; P1 has a row for each pair of objectives


def format_points(fraction: float) -> str:
    """A difference as signed percentage points: 0.0213 is +2.1; a dash where there is none."""
    return "–" if pandas.isna(fraction) else f"{100 * fraction:+.1f}".replace("-", "−")


def format_ends(low: float, high: float) -> str:
    """An interval of differences in points; a dash where there is none."""
    return "–" if pandas.isna(low) and pandas.isna(high) else f"[{format_points(low)}, {format_points(high)}]"


def format_size(fraction: float) -> str:
    """A size in percentage points, without a sign; a dash where there is none."""
    return "–" if pandas.isna(fraction) else f"{100 * fraction:.1f}"


def format_p(p: float) -> str:
    """A p-value to two digits; a dash where there is none."""
    return "–" if pandas.isna(p) else "< .001" if p < 0.001 else f"{p:.2g}".removeprefix("0")


def format_share(fraction: float) -> str:
    """A number between 0 and about 1, to three places; a dash where there is none."""
    return "–" if pandas.isna(fraction) else f"{fraction:.3f}".replace("-", "−")


def format_cell(value: object) -> str:
    """A value of a figure's table."""
    return format_share(value) if isinstance(value, float) else str(value)


def verdict_class(verdict: str) -> str:
    """The classes of a verdict in the style sheet; none of the colours of verdicts that hold, where it is weak."""
    return "weak" if verdict in UNCORRECTED.values() else verdict.replace(" ", "-")


FILTERS = {
    "verdict_class": verdict_class,
    "points": format_points,
    "ends": format_ends,
    "size": format_size,
    "p": format_p,
    "share": format_share,
    "cell": format_cell,
}


def html(**content) -> str:
    """Fills the template; the head of report.html.j2 says what it needs."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    template = environment.get_template("report.html.j2")
    return template.render(papers=PAPERS, shown=SETTINGS_SHOWN, verdicts=VERDICTS, **content)


def claim_rows(judged: pandas.DataFrame) -> list[dict]:
    """The claims for the page: each with its words, its numbers, and the rows of its settings under ``settings``.

    Args:
        judged: of judge.judge_all, or as claims.csv has it.
    """
    by_id = {claim.id: claim for claim in claims.load()}
    found: list[dict] = []
    for row in judged.to_dict("records"):
        name, _, setting = row["id"].partition("/")
        row |= {"claim": by_id[name], "setting": setting.replace("/", ", ")}
        row |= {text: "" for text in TEXTS if pandas.isna(row[text])}
        if setting:
            found[-1]["settings"].append(row)
        else:
            found.append(row | {"settings": []})
    return found


def markdown(judged: pandas.DataFrame, study: str, confidence: float) -> str:
    """The claims table for a README: the tested claims, then the names of the others."""
    rows = claim_rows(judged)
    lines = [
        f"Study `{study}`; differences in points with {confidence:.0%} intervals.",
        "*n*: pretrained models, each with all that was made of it.",
        "*Another chain*: where the estimate of one more would fall, with the same confidence, on the same questions.",
        "*Could have seen*: the smallest difference from the threshold that such a run tells four times in five.",
        "Inconclusive is a verdict.",
        "*Reproduced*: the interval lies on the paper's side, also after Holm's correction for the number of claims "
        "(p (Holm) at most "
        f"{1 - confidence:.2g}); without that, *reproduced, not after correction*.",
        "*p (Holm)*: the chance of so clear a result where the truth is at the threshold, for all claims together.",
        "",
        "| claim | paper | ours | another chain | n | verdict | p (Holm) | could have seen |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['id']}: {row['claim'].statement} | {row['claim'].number} "
            f"| {format_points(row['ours'])} {format_ends(row['low'], row['high'])} "
            f"| {format_ends(row['next_low'], row['next_high'])} | {row['n']} "
            f"| **{in_words(row['verdict'], row['reason'])}** | {format_p(row['p_holm'])} "
            f"| {format_size(row['could_have_seen'])} |"
            for row in rows
            if row["verdict"] != NOT_TESTED
        ),
        "",
        *(f"- {row['id']}: {in_words(NOT_TESTED, row['reason'])}" for row in rows if row["verdict"] == NOT_TESTED),
    ]
    return "\n".join(lines) + "\n"


def results_table(results: pandas.DataFrame, scores: Mapping[str, str] = MappingProxyType({})) -> dict:
    """The results with a row per model: a score with its standard error for each task and metric.

    What is measured of responses beside whether they are right stands in results.csv alone: the table would be too
    wide. So does what lm-eval measures beside a task's score.

    Args:
        results: of evaluations.tidy.
        scores: the metric that is the score of each task.
    """
    is_score = results["metric"] == results["task"].map(dict(scores))
    results = results[is_score | results["metric"].str.fullmatch(r"acc|nats|pass@\d+")]
    columns = sorted({(row.task, row.metric) for row in results.itertuples()})
    models = []
    for name, own in results.groupby("model", sort=True):
        scores = {(row.task, row.metric): (row.mean, row.standard_error) for row in own.itertuples()}
        models.append({"model": name, "scores": [scores.get(column) for column in columns]})
    items = results.drop_duplicates(["task"]).set_index("task")["items"].to_dict()
    return {"columns": columns, "models": models, "items": items}
