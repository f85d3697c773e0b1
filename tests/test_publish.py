"""The README shows the claims table of the published run, not a number of its own."""

from pathlib import Path

import pytest

from orchard import publish
from orchard.errors import UserError
from tests.project import ROOT


def test_the_readme_shows_the_published_claims_table():
    shown = (ROOT / publish.README).read_text().partition(publish.BEGIN)[2].partition(publish.END)[0].strip()
    assert shown == publish.table((ROOT / publish.DOCS / "summary.md").read_text()), "run `make publish`"


def test_the_readme_shows_every_published_figure():
    readme = (ROOT / publish.README).read_text()
    figures = list((ROOT / publish.DOCS).glob("*.png"))
    assert figures
    assert [figure.name for figure in figures if f"docs/report/{figure.name}" not in readme] == []


def test_another_study_is_published_beside_and_the_readme_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no results/report/summary\.md"):
        publish.publish_beside(Path("docs/other"))
    Path("results/report").mkdir(parents=True)
    for name in ("results/report/summary.md", "results/report/claims.csv", "results/report/drift.png", "dvc.lock"):
        Path(name).write_text(name)
    Path("docs/other").mkdir(parents=True)
    Path("docs/other/left.png").write_text("of an earlier run")
    publish.publish_beside(Path("docs/other"))
    assert sorted(file.name for file in Path("docs/other").iterdir()) == [
        "claims.csv",
        "drift.png",
        "dvc.lock",
        "summary.md",
    ]
    assert not Path("README.md").exists()
