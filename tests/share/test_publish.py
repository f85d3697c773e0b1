"""The README shows the claims table of the published run, not a number of its own."""

from pathlib import Path

import pytest

from orchard import paths, yamls
from orchard.errors import UserError
from orchard.share import publish
from tests.helpers.messages import assert_one_message
from tests.helpers.project import ROOT

OWN = ("generate@a", "evaluate@base-tiny", "report")


def stage(out: str, *reads: str) -> dict:
    """An entry of dvc.lock."""
    return {
        "cmd": "c",
        "deps": [{"path": path, "md5": "0" * 32} for path in reads],
        "outs": [{"path": out, "md5": "1" * 32}],
    }


LOCK = {
    "schema": "2.0",
    "stages": {
        "generate@a": stage("data/a"),
        "generate@other": stage("data/b"),
        "evaluate@base-tiny": stage("results/evals/base-tiny", "data/a"),
        "evaluate@other": stage("results/evals/other", "data/b"),
        "report": stage("results/report", "results/evals"),
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


@pytest.fixture
def report(tmp_path, monkeypatch) -> None:
    """A working folder with a report and what it was made of."""
    monkeypatch.chdir(tmp_path)
    Path("results/report").mkdir(parents=True)
    for name in ("results/report/summary.md", "results/report/claims.csv", "results/report/drift.png"):
        Path(name).write_text(name)
    Path("results/evals/base-tiny").mkdir(parents=True)
    Path("data").mkdir()
    Path("data/a").write_text("")
    Path("dvc.lock").write_text(yamls.dumps(LOCK))


def test_without_a_report_nothing_is_published(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no results/report/summary\.md"):
        publish.publish_beside(Path("docs/other"))


def test_another_study_is_published_beside_and_the_readme_stays(report):
    publish.publish_beside(Path("docs/other"))
    names = ["claims.csv", "drift.png", "dvc.lock", "summary.md"]
    assert sorted(file.name for file in Path("docs/other").iterdir()) == [publish.MADE, *names]
    kept = yamls.read(Path("docs/other/dvc.lock"))["stages"]
    assert kept == {name: LOCK["stages"][name] for name in OWN}
    Path("results/report/claims.csv").unlink()
    publish.publish_beside(Path("docs/other"))
    assert sorted(file.name for file in Path("docs/other").iterdir()) == [publish.MADE, *names[1:]]


def of_a_user() -> None:
    Path("docs/other").mkdir(parents=True)
    Path("docs/other/notes.csv").write_text("mine")


def beside_a_publication() -> None:
    publish.publish_beside(Path("docs/other"))
    Path("docs/other/notes.csv").write_text("mine")


def edited() -> None:
    publish.publish_beside(Path("docs/other"))
    Path("docs/other/summary.md").write_text("mine")


def with_a_folder() -> None:
    publish.publish_beside(Path("docs/other"))
    Path("docs/other/figures").mkdir()


def a_link() -> None:
    Path("elsewhere").mkdir()
    Path("docs").mkdir()
    Path("docs/other").symlink_to(Path("elsewhere").absolute())


def behind_a_link() -> None:
    Path("elsewhere").mkdir()
    Path("docs").symlink_to("elsewhere")


def a_list_that_names_others() -> None:
    of_a_user()
    Path("docs/other", publish.MADE).write_text(f"{publish.md5(b'')}  ../../data/a\n{publish.md5(b'x')}  notes.csv\n")


def a_file() -> None:
    Path("docs").mkdir()
    Path("docs/other").write_text("mine")


@pytest.mark.parametrize(
    "there",
    [of_a_user, beside_a_publication, edited, with_a_folder, a_link, behind_a_link, a_list_that_names_others, a_file],
)
def test_what_a_publication_did_not_write_stays(report, there):
    there()
    before = files()
    with pytest.raises(UserError) as refused:
        publish.publish_beside(Path("docs/other"))
    assert_one_message(str(refused.value), ["docs"])
    assert files() == before


def test_the_projects_own_folders_are_not_replaced(report):
    before = files()
    for folder in (".", "docs/..", "results", "data"):
        with pytest.raises(UserError):
            publish.publish_beside(Path(folder))
    assert files() == before


def files() -> dict[str, str]:
    return {str(path): path.read_text() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", [file.parent for file in sorted(ROOT.glob("docs/**/summary.md"))], ids=str)
def test_what_is_published_can_be_replaced(folder):
    publish.refuse_other_files(folder)
