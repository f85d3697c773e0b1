"""The README shows the claims table of the published run, not a number of its own."""

from pathlib import Path

import pytest

from orchard import paths, yamls
from orchard.errors import UserError
from orchard.share import publish
from tests.helpers.project import ROOT

OWN = ("generate@a", "evaluate@base-tiny", "report")
LOCK = {
    "schema": "2.0",
    "stages": {
        "generate@a": {"cmd": "g", "outs": [{"path": "data/a", "md5": "1"}]},
        "generate@other": {"cmd": "g", "outs": [{"path": "data/b", "md5": "2"}]},
        "evaluate@base-tiny": {"cmd": "e", "deps": [{"path": "data/a"}], "outs": [{"path": "results/evals/base-tiny"}]},
        "evaluate@other": {"cmd": "e", "deps": [{"path": "data/b"}], "outs": [{"path": "results/evals/other"}]},
        "report": {"cmd": "r", "deps": [{"path": "results/evals"}], "outs": [{"path": "results/report"}]},
    },
}


def test_the_readme_shows_the_published_claims_table():
    shown = (ROOT / paths.README).read_text().partition(publish.BEGIN)[2].partition(publish.END)[0].strip()
    assert shown == publish.table((ROOT / paths.DOCS_REPORT / "summary.md").read_text()), "run `make publish`"


def test_the_readme_shows_every_published_figure():
    readme = (ROOT / paths.README).read_text()
    figures = list((ROOT / paths.DOCS_REPORT).glob("*.png"))
    assert figures
    assert [figure.name for figure in figures if f"docs/report/{figure.name}" not in readme] == []


def test_another_study_is_published_beside_and_the_readme_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no results/report/summary\.md"):
        publish.publish_beside(Path("docs/other"))
    Path("results/report").mkdir(parents=True)
    for name in ("results/report/summary.md", "results/report/claims.csv", "results/report/drift.png"):
        Path(name).write_text(name)
    Path("results/evals/base-tiny").mkdir(parents=True)
    Path("data").mkdir()
    Path("data/a").write_text("")
    Path("dvc.lock").write_text(yamls.dumps(LOCK))
    Path("docs/other").mkdir(parents=True)
    Path("docs/other/left.png").write_text("of an earlier run")
    publish.publish_beside(Path("docs/other"))
    assert sorted(file.name for file in Path("docs/other").iterdir()) == [
        "claims.csv",
        "drift.png",
        "dvc.lock",
        "summary.md",
    ]
    kept = yamls.read(Path("docs/other/dvc.lock"))["stages"]
    assert kept == {name: LOCK["stages"][name] for name in OWN}
    assert not Path("README.md").exists()
