"""What the report says of one claim."""

from orchard.report.bound_study import BoundStudy
from orchard.report.claims import claim as claims
from orchard.report.claims import judge

CLAIMS = {claim.id: claim for claim in claims.load()}


def rows_of(name: str, study: BoundStudy) -> dict[str, dict]:
    """The rows of a claim by id, each verdict with its reason in brackets."""
    rows = judge.judge(CLAIMS[name], study)
    return {row["id"]: row | {"verdict": judge.in_words(row["verdict"], row["reason"])} for row in rows}
