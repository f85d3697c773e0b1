"""The claims of both papers, as claims.yaml states them."""

from dataclasses import dataclass, fields
from pathlib import Path

from orchard import yamls
from orchard.errors import UserError
from orchard.report.claims.comparison import Comparison


@dataclass(frozen=True)
class Claim:
    """A claim; the comments of claims.yaml say what the fields mean."""

    id: str
    paper: str
    statement: str
    number: str
    trust: str = ""
    measure: str = ""
    measured_as: str = ""
    direction: str = "+"
    threshold: float = 0.0
    margin: float = 0.0
    negligible: float = 0.0
    training: bool = False
    compare: Comparison | None = None

    @property
    def sign(self) -> int:
        """1 where the claim says that its measure lies above the threshold, −1 where below."""
        return 1 if self.direction == "+" else -1

    @property
    def shown_above(self) -> float:
        """What the measure, turned so that the paper's side is up, lies above where the claim is reproduced."""
        return self.sign * self.threshold - self.margin

    @property
    def refuted_below(self) -> float:
        """What the measure, so turned, lies below where the claim is not reproduced."""
        return self.shown_above + self.negligible


def load() -> list[Claim]:
    """All claims of both papers.

    Raises:
        UserError: an entry lacks a field or has one that claims do not have.
    """
    return [read(entry) for entry in yamls.read(Path(__file__).with_name("claims.yaml"))]


def read(entry: dict) -> Claim:
    """One entry of claims.yaml."""
    try:
        compare = Comparison(**entry["compare"]) if "compare" in entry else None
        return Claim(**entry | {"compare": compare})
    except TypeError as error:
        raise UserError(
            found=f"claims.yaml: {entry.get('id', 'a claim without id')}: {str(error).partition('() ')[2]}",
            rule=f"a claim has {', '.join(each.name for each in fields(Claim))}",
            why="what is misspelt would be left out in silence",
            fix="correct the entry; its neighbours show the form",
        ) from error
