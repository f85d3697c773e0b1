"""The README shows the claims table of the published run, not a number of its own."""

from orchard import publish
from tests.project import ROOT


def test_the_readme_shows_the_published_claims_table():
    shown = (ROOT / publish.README).read_text().partition(publish.BEGIN)[2].partition(publish.END)[0].strip()
    assert shown == publish.table((ROOT / publish.DOCS / "summary.md").read_text()), "run `make publish`"


def test_the_readme_shows_every_published_figure():
    readme = (ROOT / publish.README).read_text()
    figures = list((ROOT / publish.DOCS).glob("*.png"))
    assert figures
    assert [figure.name for figure in figures if f"docs/report/{figure.name}" not in readme] == []
