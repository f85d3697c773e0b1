"""A dvc.lock that is cut, garbled or a stranger's ends every command in one message, before anything runs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchard import yamls
from orchard.__main__ import main
from orchard.errors import UserError
from orchard.lineage import lock
from orchard.report import build
from tests.helpers.messages import assert_one_message
from tests.helpers.project import ROOT, Project

MD5 = "a" * 32
SOUND = f"""\
schema: '2.0'
stages:
  generate@calc:
    cmd: python -m orchard.stages.generate calc
    deps:
    - path: /mnt/files/items.jsonl
      hash: md5
      md5: {MD5}
      size: 3
    params:
      params.yaml:
        data.generate.calc:
          seed: 21
    outs:
    - path: data/eval/calc.jsonl
      hash: md5
      md5: {MD5}
      size: 9
      isexec: true
  report:
    cmd: python -m orchard.stages.report
    outs:
    - path: results/report
      hash: md5
      md5: {MD5}.dir
      size: 9
      nfiles: 2
"""
CONFLICT = "<<<<<<< ours\n    cmd: a\n=======\n    cmd: b\n>>>>>>> theirs\n"
BOMB = "&a [x, x]"
for letter, last in zip("bcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvw", strict=True):
    BOMB = f"{{of: {BOMB}, more: &{letter} [*{last}, *{last}]}}"
BROKEN = {
    "empty": "",
    "only a comment": "# nothing\n",
    "null": "null\n",
    "text": "hello\n",
    "a list": "[1]\n",
    "no stages": "schema: '2.0'\n",
    "stages null": "schema: '2.0'\nstages:\n",
    "stages a list": "schema: '2.0'\nstages: [1]\n",
    "stages empty": "schema: '2.0'\nstages: {}\n",
    "no schema": SOUND.partition("\n")[2],
    "another schema": SOUND.replace("2.0", "3.0"),
    "a stage is a number": "schema: '2.0'\nstages:\n  report: 3\n",
    "no outs": SOUND.partition("    outs:")[0],
    "outs empty": "schema: '2.0'\nstages:\n  report:\n    cmd: x\n    outs: []\n",
    "no command": SOUND.replace("    cmd: python -m orchard.stages.report\n", ""),
    "no md5": SOUND.replace(f"      md5: {MD5}.dir\n", ""),
    "short md5": SOUND.replace(f"{MD5}.dir", "aa"),
    "md5 is .dir": SOUND.replace(f"{MD5}.dir", ".dir"),
    "md5 is a number": SOUND.replace(f"{MD5}.dir", "1" * 32),
    "an unknown key": SOUND.replace("nfiles", "files"),
    "a size in words": SOUND.replace("size: 3", "size: three"),
    "terminal codes in a command": SOUND.replace("cmd: python -m orchard.stages.report", r'cmd: "\e[2Jall fine\e[0m"'),
    "terminal codes in a name": SOUND.replace("  report:", r'  "report\e[2J":'),
    "terminal codes in a path": SOUND.replace("path: results/report", r'path: "results/\e]0;title\a"'),
    "a path that leads out": SOUND.replace("path: results/report", "path: results/../../report"),
    "cut in a line": SOUND[:-20],
    "cut after a line": SOUND.partition("      md5:")[0],
    "cut in the hash": SOUND[: SOUND.index(f"{MD5}.dir") + 10],
    "conflict marks": SOUND.replace("    cmd: python -m orchard.stages.report\n", CONFLICT),
    "a key twice": SOUND + "  report:\n    cmd: x\n",
    "open bracket": "schema: '2.0'\nstages: [\n",
    "deep": f"schema: '2.0'\nstages: {'[' * 3000}\n",
    "aliases": SOUND.replace("seed: 21", f"seed: {BOMB}"),
    "itself": SOUND.replace("seed: 21", "seed: &a [*a]"),
    "not UTF-8": SOUND.replace("cmd: python", "cmd: p\udcffthon"),
    "a null byte": SOUND.replace("cmd: python", "cmd: p\0thon"),
}


SOME = ["empty", "cut after a line", "conflict marks", "short md5", "terminal codes in a command"]


def write(text: str, folder: Path = Path()) -> None:
    (folder / "dvc.lock").write_bytes(text.encode(errors="surrogateescape"))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A project that nobody ran, with a report that somebody put there."""
    project = Project.from_working_tree(tmp_path_factory.mktemp("lock") / "project")
    for name in ("results/report/summary.md", "results/evals/base-tiny/scores", "data/eval/calc.jsonl"):
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(name)
    return project


def said(project: Project, monkeypatch, capsys, *command: str) -> str:
    """The one message with which a command ends."""
    monkeypatch.chdir(project.folder)
    capsys.readouterr()
    assert main(list(command)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "\x1b" not in printed.err
    assert_one_message(printed.err, ["dvc.lock"])
    return printed.err


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_lock_is_one_message(project, monkeypatch, capsys, name):
    write(BROKEN[name], project.folder)
    said(project, monkeypatch, capsys, "trace", "results/report")


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize(
    "command",
    [("verify",), ("plan",), ("publish", "--to", "docs/other"), ("pull",), ("share",)],
    ids=lambda command: command[0],
)
def test_it_is_so_in_every_command(project, monkeypatch, capsys, name, command):
    write(BROKEN[name], project.folder)
    said(project, monkeypatch, capsys, *command)
    assert not Path("docs/other").exists()


@pytest.mark.parametrize("name", SOME)
def test_a_report_and_a_comparison_name_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(BROKEN[name])
    with pytest.raises(UserError) as refused:
        build.lock.read_if_there()
    assert_one_message(str(refused.value), ["dvc.lock"])
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "a"]):
        subprocess.run(["git", *command], check=True)
    with pytest.raises(UserError) as refused:
        lock.of_commit("HEAD")
    assert_one_message(str(refused.value), ["the dvc.lock of HEAD"])


@pytest.mark.parametrize("name", SOME[:3])
@pytest.mark.parametrize("options", [("-n",), ("--cores", "1", "data/eval/calc.jsonl")], ids=["dry", "real"])
def test_snakemake_says_it_and_runs_nothing(project, name, options):
    write(BROKEN[name], project.folder)
    shutil.rmtree(project.folder / "logs", ignore_errors=True)
    before = (project.folder / "data/eval/calc.jsonl").read_text()
    done = project.run("snakemake", *options, ok=False)
    assert done.returncode != 0
    assert_one_message(done.stdout + done.stderr, ["dvc.lock"])
    assert not list((project.folder / "logs").rglob("*.log"))
    assert (project.folder / "data/eval/calc.jsonl").read_text() == before
    assert (project.folder / "dvc.lock").read_text() == BROKEN[name]


def test_a_job_says_it_and_runs_nothing(project):
    write(BROKEN["short md5"], project.folder)
    done = project.run("python", "-m", "orchard.rerun.job", "report", ok=False)
    assert done.returncode == 1
    assert_one_message(done.stdout + done.stderr, ["stages.report.outs.0.md5: 'aa'"])


def test_a_sound_lock_is_read():
    found = lock.of_text(SOUND, "dvc.lock")
    assert found["report"].outs == {"results/report": f"{MD5}.dir"}
    assert found["generate@calc"].deps == {"/mnt/files/items.jsonl": MD5}


@pytest.mark.parametrize("file", ["dvc.lock", *(str(f.relative_to(ROOT)) for f in ROOT.glob("docs/**/dvc.lock"))])
def test_what_dvc_wrote_is_read(file):
    assert len(lock.read(ROOT / file)) == len(yamls.read(ROOT / file)["stages"])


@pytest.mark.parametrize("file", ["dvc.lock", "docs/pear/full/dvc.lock"])
def test_stage_by_stage_it_holds_what_it_holds_in_one_piece(file):
    text = (ROOT / file).read_text()
    assert lock.of_text(text, file) == lock.parse(yamls.loads(text), file)


def test_of_the_wanted_stages_alone_the_lines_are_read(tmp_path):
    file = tmp_path / "dvc.lock"
    file.write_text(f"{SOUND}  cut:\n    cmd: [\n")
    assert lock.read(file, ["report"]) == {"report": lock.of_text(SOUND, "dvc.lock")["report"]}
    assert lock.read(file, ["never-run"]) == {}
    with pytest.raises(UserError, match=r"dvc\.lock"):
        lock.read(file, ["cut"])
    with pytest.raises(UserError):
        lock.read(file)
