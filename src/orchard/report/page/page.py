"""The report as a web page that needs nothing beside it, and its claims table as Markdown."""

from pathlib import Path

import pandas
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchard.report.claims import judge as claims

PAPERS = {
    "PEAR": "PEAR: Good SFT Optimizes for SFT, Better SFT Prepares for Reinforcement Learning (arXiv 2602.01058)",
    "LLP": "On the Limits of Layer Pruning for Generative Reasoning in LLMs (arXiv 2602.01997)",
}

ROWS = 20  # of one claim's settings that the page shows; P1 has a row for each pair of objectives


def points(fraction: float) -> str:
    """A difference as signed percentage points: 0.0213 is +2.1; a dash where there is none."""
    return "–" if pandas.isna(fraction) else f"{100 * fraction:+.1f}".replace("-", "−")


def size(fraction: float) -> str:
    """A size in percentage points, without a sign; a dash where there is none."""
    return "–" if pandas.isna(fraction) else f"{100 * fraction:.1f}"


def chance(p: float) -> str:
    """A p-value to two digits; a dash where there is none."""
    return "–" if pandas.isna(p) else "< .001" if p < 0.001 else f"{p:.2g}".removeprefix("0")


def share(fraction: float) -> str:
    """A number between 0 and about 1, to three places; a dash where there is none."""
    return "–" if pandas.isna(fraction) else f"{fraction:.3f}".replace("-", "−")


def cell(value) -> str:
    """A value of a figure's table."""
    return share(value) if isinstance(value, float) else str(value)


def html(**content) -> str:
    """Fills the template; see report.html.j2 for what else it needs."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"points": points, "size": size, "chance": chance, "share": share, "cell": cell}
    return environment.get_template("report.html.j2").render(papers=PAPERS, shown=ROWS, **content)


def claim_rows(judged: pandas.DataFrame) -> list[dict]:
    """The claims for the page: each with its words, its numbers, and the rows of its settings under ``settings``."""
    words = {claim.id: claim for claim in claims.load()}
    found = []
    for row in judged.to_dict("records"):
        name, _, setting = row["id"].partition("/")
        row |= {"claim": words[name], "setting": setting.replace("/", ", ")}
        row["rows"] = row["command"].partition("results/evals/")[2] if isinstance(row["command"], str) else ""
        row["outcome"], _, row["reason"] = row["verdict"].rstrip(")").partition(" (")
        if setting:
            found[-1]["settings"].append(row)
        else:
            found.append(row | {"settings": []})
    return found


def markdown(judged: pandas.DataFrame, study: str, confidence: float) -> str:
    """The claims table for a README: the tested claims, then the names of the others."""
    tested = [row for row in claim_rows(judged) if row["outcome"] != claims.NOT_TESTED]
    others = [row for row in claim_rows(judged) if row["outcome"] == claims.NOT_TESTED]
    lines = [
        f"Study `{study}`; differences in points with {confidence:.0%} intervals, n training replicates.",
        "*Could have seen*: the smallest difference from the threshold that such a run tells four times in five.",
        "Inconclusive is a verdict.",
        "*p (Holm)*: the chance of so clear a result where the truth is at the threshold, for all claims together.",
        "",
        "| claim | paper | ours | n | verdict | p (Holm) | could have seen |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['id']}: {row['claim'].statement} | {row['claim'].number} "
            f"| {points(row['ours'])} [{points(row['low'])}, {points(row['high'])}] | {row['n']} "
            f"| **{row['verdict']}** | {chance(row['p_holm'])} | {size(row['could_have_seen'])} |"
            for row in tested
        ),
        "",
        *(f"- {row['id']}: {row['verdict']}" for row in others),
    ]
    return "\n".join(lines) + "\n"


def results_table(results: pandas.DataFrame) -> dict:
    """The results with a row a model: a score with its standard error for each task and metric.

    What is told of responses beside whether they are right stands in results.csv alone: the table would be too wide.
    """
    results = results[results["metric"].str.fullmatch(r"acc|nats|pass@\d+")]
    columns = sorted({(row.task, row.metric) for row in results.itertuples()})
    models = []
    for name, rows in results.groupby("model", sort=True):
        scores = {(row.task, row.metric): (row.mean, row.standard_error) for row in rows.itertuples()}
        models.append({"model": name, "scores": [scores.get(column) for column in columns]})
    items = results.drop_duplicates(["task"]).set_index("task")["items"].to_dict()
    return {"columns": columns, "models": models, "items": items}
