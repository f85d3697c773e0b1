"""The chain from a result back to data and code, on a small dvc.lock made by hand."""

import subprocess
from pathlib import Path

import pytest

from orchard import yamls
from orchard.__main__ import main
from orchard.lineage import lock

MD5 = {name: f"{number:032x}" for number, name in enumerate(["items", "mix", "base", "eval", "code"])}
LOCK = {
    "schema": "2.0",
    "stages": {
        "generate@mix": {
            "cmd": "python -m orchard.stages.generate mix",
            "deps": [
                {"path": "src/orchard/stages/generate.py", "md5": MD5["code"]},
                {"path": "notes.csv", "md5": MD5["code"]},
            ],
            "params": {"params.yaml": {"data.generate.mix": {"seed": 11}}},
            "outs": [{"path": "data/pretrain/mix.jsonl", "md5": MD5["mix"]}],
        },
        "generate@calc": {
            "cmd": "python -m orchard.stages.generate calc",
            "outs": [{"path": "data/eval/calc.jsonl", "md5": MD5["items"]}],
        },
        "base@tiny": {
            "cmd": "python -m orchard.stages.base tiny",
            "deps": [{"path": "data/pretrain/mix.jsonl", "md5": MD5["mix"]}],
            "outs": [{"path": "results/models/base-tiny", "md5": f"{MD5['base']}.dir"}],
        },
        "evaluate@base-tiny": {
            "cmd": "python -m orchard.stages.evaluate base-tiny",
            "deps": [
                {"path": "results/models/base-tiny", "md5": f"{MD5['base']}.dir"},
                {"path": "data/eval", "md5": f"{MD5['items']}.dir"},
                {"path": "data/pretrain/mix.jsonl", "md5": MD5["mix"]},
            ],
            "outs": [{"path": "results/evals/base-tiny", "md5": f"{MD5['eval']}.dir"}],
        },
    },
}
TREE = """\
stage evaluate@base-tiny
    command: python -m orchard.stages.evaluate base-tiny
    output: results/evals/base-tiny  md5 00000000000000000000000000000003.dir
    input: results/models/base-tiny  md5 00000000000000000000000000000002.dir
        stage base@tiny
            command: python -m orchard.stages.base tiny
            output: results/models/base-tiny  md5 00000000000000000000000000000002.dir
            input: data/pretrain/mix.jsonl  md5 00000000000000000000000000000001
                stage generate@mix
                    command: python -m orchard.stages.generate mix
                    output: data/pretrain/mix.jsonl  md5 00000000000000000000000000000001
                    parameter: params.yaml: data.generate.mix = {"seed": 11}
                    code: src/orchard/stages/generate.py  md5 00000000000000000000000000000004
                    input: notes.csv  md5 00000000000000000000000000000004, from outside
    input: data/eval  md5 00000000000000000000000000000000.dir
        stage generate@calc
            command: python -m orchard.stages.generate calc
            output: data/eval/calc.jsonl  md5 00000000000000000000000000000000
    input: data/pretrain/mix.jsonl  md5 00000000000000000000000000000001
        stage generate@mix (see above)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(yamls.dumps(LOCK))
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "dvc.lock"], [*identity, "commit", "-q", "-m", "lock"]):
        subprocess.run(["git", *command], check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    "path", ["results/evals/base-tiny", "results/evals/base-tiny/scores.parquet", "./results//evals/base-tiny/"]
)
def test_the_whole_chain_is_printed(project, capsys, path):
    assert main(["trace", path]) == 0
    head, _, tree = capsys.readouterr().out.partition("\n")
    assert head.endswith(f"as of dvc.lock in git commit {project}")
    assert tree == TREE


def test_an_absolute_path_is_the_same(project, capsys):
    assert main(["trace", str(Path.cwd() / "results/evals/base-tiny")]) == 0
    assert capsys.readouterr().out.endswith(TREE)


def test_a_changed_lock_is_printed(project, capsys):
    Path("dvc.lock").write_text(yamls.dumps(LOCK) + "\n")
    assert main(["trace", "data/eval/calc.jsonl"]) == 0
    assert f"git commit {project} and changed since" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("results/evals/base-tyni", "did you mean results/evals/base-tiny"),
        ("README.md", "one of the 4 outputs"),
        ("/tmp", "one of the 4 outputs"),
    ],
)
def test_a_path_that_no_stage_makes(project, capsys, path, near):
    assert main(["trace", path]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert near in printed.err
    assert all(f"{part}:" in printed.err for part in ("found", "rule", "why", "fix"))


def test_without_a_lock(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["trace", "results"]) == 1
    assert "no file dvc.lock" in capsys.readouterr().err


def test_a_chain_is_in_the_order_of_work_and_names_what_each_stage_reads_from(project):
    steps = lock.chain("results/evals/base-tiny", lock.read())
    seen = []
    for step in steps:
        assert set(step["after"]) <= set(seen)
        seen.append(step["stage"])
    assert seen[-1] == "evaluate@base-tiny"
    assert {"base@tiny", "generate@calc"} <= set(steps[-1]["after"])
    assert "md5" in steps[-1]["outputs"][0]


def test_a_chain_does_not_depend_on_the_order_in_which_stages_ran(project):
    stages = lock.read()
    turned = dict(reversed(stages.items()))
    assert lock.chain("results/evals/base-tiny", turned) == lock.chain("results/evals/base-tiny", stages)


@pytest.mark.parametrize("tree", [{"stages": {"a": {"outs": []}}}, {"stages": {"a": 3}}, {"stages": [1]}, [1]])
def test_a_lock_that_is_not_dvcs_is_one_message(tmp_path, monkeypatch, capsys, tree):
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(yamls.dumps(tree))
    assert main(["trace", "results"]) == 1
    assert "dvc.lock: not what DVC writes" in capsys.readouterr().err


def test_a_parameter_cannot_steer_the_terminal(project, capsys):
    tree = yamls.read(Path("dvc.lock"))
    tree["stages"]["generate@mix"]["params"]["params.yaml"]["data.generate.mix"] = "\x9b2J\x1b[2J\x7fä"
    Path("dvc.lock").write_text(yamls.dumps(tree))
    assert main(["trace", "data/pretrain/mix.jsonl"]) == 0
    printed = capsys.readouterr().out
    assert not set(printed) & set("\x9b\x1b")
    assert "2J" in printed
