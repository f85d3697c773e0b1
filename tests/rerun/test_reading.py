"""Reading the Snakefile moves and writes nothing; a run sets aside what is of another study, and deletes nothing."""

import hashlib
from pathlib import Path

import pytest

from orchard.errors import UserError
from orchard.rerun import aside, dvc_patches
from tests.helpers.messages import assert_one_message
from tests.helpers.project import Project

ODDMENTS = ("results/models/sft-old/weights", "results/evals/sft-old/scores", "data/eval/old.jsonl", "notes.md")


@pytest.fixture(scope="module")
def switched(tmp_path_factory) -> Project:
    """A project whose config.yaml names another study than params.yaml, with files that no stage makes."""
    project = Project.from_working_tree(tmp_path_factory.mktemp("reading") / "project")
    for name in ODDMENTS:
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(name)
    (project.folder / "config.yaml").write_text("extends: default\n")
    return project


@pytest.mark.parametrize("option", ["-n", "--lint", "--dag", "--summary"])
def test_reading_moves_and_writes_nothing(switched, option):
    before = files(switched)
    assert before.keys() >= set(ODDMENTS)
    done = switched.run("snakemake", option, ok=option != "--lint")  # the linter has its one complaint
    assert "Traceback" not in done.stderr
    assert files(switched) == before


def test_what_is_of_another_study_is_set_aside_and_comes_back_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one, two = "results/models/one", "results/models/two"
    for round_ in range(2):
        put(one, f"one, round {round_}")
        aside.swap([one], "first")
        aside.swap([two], "second")
        assert here() == set()
        assert f"{one} is of another study or an earlier config: set aside in" in capsys.readouterr().err
    put(two, "two")
    aside.swap([one], "first")
    assert here() == {"one"}
    assert (tmp_path / one / "weights").read_text() == "one, round 0"
    aside.swap([one, two], "second")
    assert here() == {"one", "two"}
    kept = sorted(file.read_text() for file in (tmp_path / ".scratch").rglob("weights"))
    assert kept == ["one, round 1"]


def test_what_stands_is_not_overwritten_by_what_was_set_aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = "results/models/one"
    put(one, "old")
    aside.swap([one], "first")
    aside.swap([], "second")
    put(one, "new")
    aside.swap([one], "first")
    assert (tmp_path / one / "weights").read_text() == "new"
    assert [file.read_text() for file in (tmp_path / ".scratch").rglob("weights")] == ["old"]


def test_what_came_by_a_pull_before_any_run_comes_back_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put("results/models/one", "pulled")
    aside.swap([], "second")
    assert here() == set()
    aside.swap(["results/models/one"], "first")
    assert here() == {"one"}


@pytest.mark.parametrize("at", ["results", "results/models", ".scratch", ".scratch/studies", ".scratch/studies/first"])
@pytest.mark.parametrize("way", ["away", "back"])
def test_nothing_moves_through_a_link(tmp_path, monkeypatch, at, way):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    put("results/models/one", "one")
    put("results/models/none", "none")
    aside.swap(["results/models/one", "results/models/none"], "first")
    if way == "back":
        aside.swap(["results/models/none"], "second")
    Path(at).parent.mkdir(parents=True, exist_ok=True)
    place = tmp_path / "elsewhere"
    Path(at).rename(place) if Path(at).exists() else place.mkdir()
    Path(at).symlink_to(place)
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(UserError) as refused:
        aside.swap(*((["results/models/none"], "second") if way == "away" else (["results/models/one"], "first")))
    assert_one_message(str(refused.value), [f"{at} is a link"])
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize("name", ["../../elsewhere", "/tmp", "", "a/b", "a\nb", "A"])
def test_the_last_studys_name_is_no_path(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    put("results/models/one", "one")
    Path(".scratch").mkdir()
    Path(".scratch/last-study").write_text(name)
    with pytest.raises(UserError) as refused:
        aside.swap([], "second")
    assert_one_message(str(refused.value), [".scratch/last-study"])
    assert here() == {"one"}


def test_the_last_studys_name_is_read_through_no_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".scratch").mkdir()
    Path("victim").write_text("first")
    Path(".scratch/last-study").symlink_to(Path("victim").absolute())
    with pytest.raises(UserError, match=r"\.scratch/last-study is a link"):
        aside.swap([], "second")
    assert Path("victim").read_text() == "first"


def test_a_link_that_leads_nowhere_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put("results/models/one", "one")
    aside.swap(["results/models/one"], "first")
    Path(".scratch/studies/first/results/models").mkdir(parents=True)
    Path(".scratch/studies/first/results/models/one").symlink_to("nowhere")
    aside.swap([], "second")
    assert Path(".scratch/studies/first/results/models/one").is_symlink()
    assert Path(".scratch/studies/first/results/models/one~1/weights").read_text() == "one"


@pytest.mark.parametrize("package", dvc_patches.TRIED)
def test_another_version_of_a_patched_tool_is_refused(package, monkeypatch):
    found = {**dvc_patches.TRIED, package: "9.99.0"}
    monkeypatch.setattr(dvc_patches, "version", found.get)
    with pytest.raises(UserError) as refused:
        dvc_patches.refuse_other_versions()
    assert_one_message(str(refused.value), [f"{package} 9.99.0", dvc_patches.TRIED[package], "pip install"])


def files(project: Project) -> dict[str, str]:
    """The hash of every file, but for those in which Snakemake, DVC and Python keep their own books."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in project.folder.rglob("*")
        if path.is_file()
        and not (name := path.relative_to(project.folder).as_posix()).startswith((".snakemake/", ".dvc/tmp/", ".git/"))
        and "__pycache__" not in name
    }


def put(folder: str, text: str) -> None:
    Path(folder).mkdir(parents=True)
    Path(folder, "weights").write_text(text)


def here() -> set[str]:
    return {child.name for child in Path("results/models").iterdir()}
