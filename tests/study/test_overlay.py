"""A study that extends another: what merges, what replaces, what null does, and where each value comes from."""

import pytest

from orchard import paths, yamls
from orchard.__main__ import main
from orchard.errors import UserError
from orchard.study import load, overlay, params
from orchard.study.schema.study import Study
from tests.helpers.project import ROOT

BELOW = """
name: below
base:
  tiny: {kind: local, source: a, license: mit, model: {layers: 4}}
prune: {of: [base-tiny], methods: [reverse], ratios: [1, 2], calibration: {items: b, batch_size: 8}}
evaluate:
  seed: 1
  tasks:
    one: {kind: choice, items: c}
    two: {kind: choice, items: d, few_shot: {count: 2, items: e}}
report: {confidence: 0.9, generation: [], classification: [one]}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes studies and config.yaml into an empty project; returns a function of their texts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()

    def texts(config: str, **studies: str) -> None:
        paths.CONFIG.write_text(config)
        for name, text in {"below": BELOW, **studies}.items():
            (paths.STUDIES / f"{name}.yaml").write_text(text)

    return texts


def resolved(config: str) -> dict:
    paths.CONFIG.write_text(config)
    return overlay.resolve(paths.CONFIG).tree


def test_mappings_merge_and_lists_and_values_replace(write):
    write(
        "extends: below\nprune: {ratios: [3]}\nevaluate: {tasks: {one: {items: x}, three: {kind: choice, items: y}}}\n"
    )
    tree = overlay.resolve(paths.CONFIG).tree
    assert tree["prune"] == yamls.loads(BELOW)["prune"] | {"ratios": [3]}
    assert list(tree["evaluate"]["tasks"]) == ["one", "two", "three"]
    assert tree["evaluate"]["tasks"]["one"] == {"kind": "choice", "items": "x"}
    assert tree["evaluate"]["seed"] == 1
    assert "extends" not in tree


def test_null_removes_a_named_entry_resets_a_block_and_is_a_value_elsewhere(write):
    write("extends: below\n")
    tree = resolved(
        "extends: below\nprune: null\nreport: null\nartifacts: {base: null}\n"
        "evaluate: {limit: null, tasks: {two: {few_shot: null}, one: null}}\n"
    )
    assert "prune" not in tree
    assert "report" not in tree
    assert tree["artifacts"] == {"base": None}
    assert tree["evaluate"] == {"seed": 1, "tasks": {"two": {"kind": "choice", "items": "d"}}, "limit": None}


def test_null_for_what_is_not_there_is_a_mistake(write):
    write("extends: below\nevaluate: {tasks: {on: null}}\n")
    with pytest.raises(
        UserError, match=r"evaluate\.tasks\.on: null, where .* has no such entry[\s\S]*did you mean 'one'"
    ):
        overlay.resolve(paths.CONFIG)


def test_a_block_of_another_kind_replaces_the_one_below(write):
    write("extends: below\nevaluate: {tasks: {two: {kind: generation, items: x, max_new_tokens: 4}}}\n")
    tree = overlay.resolve(paths.CONFIG).tree
    assert tree["evaluate"]["tasks"]["two"] == {"kind": "generation", "items": "x", "max_new_tokens": 4}
    tree = resolved("extends: below\nevaluate: {tasks: {two: {kind: minimal-pair}}}\n")  # the same block
    assert tree["evaluate"]["tasks"]["two"] == {
        "kind": "minimal-pair",
        "items": "d",
        "few_shot": {"count": 2, "items": "e"},
    }


def test_studies_extend_studies(write):
    write("extends: middle\nname: top\n", middle="extends: below\nprune: {ratios: [3]}\n")
    found = overlay.resolve(paths.CONFIG)
    assert found.tree["name"] == "top"
    assert found.tree["prune"]["ratios"] == [3]
    assert found.origin("name") == "config.yaml, line 2"
    assert found.origin("prune.ratios") == "studies/middle.yaml, line 2"
    assert found.origin("evaluate.tasks.two.few_shot.count") == "studies/below.yaml, line 10"
    assert found.origin("sft.seeds") == ""


def test_a_circle_and_an_unknown_study_are_one_message(write):
    write("extends: one\n", one="extends: two\n", two="extends: one\n")
    with pytest.raises(UserError, match="extends 'one', which extends 'two'"):
        overlay.resolve(paths.CONFIG)
    with pytest.raises(UserError, match=r"config.yaml: no study 'belo'[\s\S]*did you mean 'below'\?"):
        resolved("extends: belo\n")
    with pytest.raises(UserError, match="no study 3"):
        resolved("extends: 3\n")


@pytest.mark.parametrize("text", ["", "- a\n", "a\n"])
def test_a_config_is_a_mapping(write, text):
    write(text)
    with pytest.raises(UserError, match="a study is a mapping of keys"):
        overlay.resolve(paths.CONFIG)


def test_yaml_is_that_of_dvc(write):
    write("extends: below\nevaluate: {seed: 010, limit: 1_000}\nname: yes\nreport: {confidence: 9e-1}\n")
    tree = overlay.resolve(paths.CONFIG).tree
    assert (tree["evaluate"]["seed"], tree["evaluate"]["limit"], tree["name"]) == (10, 1000, "yes")
    assert tree["report"]["confidence"] == 0.9
    with pytest.raises(UserError, match=r"config.yaml, line 2, column 1: found duplicate key"):
        resolved("name: a\nname: b\n")
    with pytest.raises(UserError, match="a mark of a git merge conflict"):
        resolved("name: a\n<<<<<<< ours\n")


def test_a_mistake_says_where_its_value_stands(write):
    write("extends: below\n\nevaluate:\n  seed: one\n")
    with pytest.raises(UserError, match=r"evaluate\.seed: 'one' \(config\.yaml, line 4\)"):
        load.load()
    paths.CONFIG.write_text("extends: wrong\n")
    (paths.STUDIES / "wrong.yaml").write_text("extends: below\nevaluate:\n  tasks:\n    one: {few_shot: {count: 1}}\n")
    with pytest.raises(UserError, match=r"one\.few_shot: count 1, items None \(studies/wrong\.yaml, line 4\)"):
        load.load()


def test_config_prints_the_whole_study_with_origins(write, capsys):
    write("extends: below\nevaluate: {limit: 5}\n")
    for file in "abcde":
        (paths.CONFIG.parent / file).touch()
    data = "data: {generate: {c: {role: eval, seed: 1, items: 2, mix: {fact: 1.0}, steps: [1, 1]}}}\n"
    (paths.STUDIES / "below.yaml").write_text(
        BELOW.replace("items: c", "items: data/eval/c.jsonl").replace(
            "items: d, few_shot: {count: 2, items: e}", "items: data/eval/c.jsonl"
        )
        + data
    )
    assert main(["config"]) == 0
    printed = capsys.readouterr().out
    assert yamls.loads(printed) == load.load().model_dump()
    lines = {line.partition(":")[0]: line for line in printed.splitlines()}
    assert lines["  limit"].endswith("# config.yaml, line 2")
    assert lines["  batch_size"].endswith(f"# {load.DEFAULT}")
    assert lines["  confidence"].endswith("# studies/below.yaml, line 11")


def test_use_switches_and_keeps_what_no_commit_has(write, capsys):
    write("extends: below\n", other=BELOW.replace("name: below", "name: other"))
    for file in "abcde":
        (paths.CONFIG.parent / file).touch()
    for name in ("below", "other"):
        path = paths.STUDIES / f"{name}.yaml"
        path.write_text(
            path.read_text()
            .replace("items: c", "items: data/eval/c.jsonl")
            .replace("items: d, few_shot: {count: 2, items: e}", "items: data/eval/c.jsonl")
            + "data: {generate: {c: {role: eval, seed: 1, items: 2, mix: {fact: 1.0}, steps: [1, 1]}}}\n"
        )
    assert main(["use", "other"]) == 0
    assert load.load().name == "other"
    assert yamls.read(paths.PARAMS)["name"] == "other"
    paths.CONFIG.write_text("extends: other\nevaluate: {seed: 3}\n")
    assert main(["use", "below"]) == 1
    assert "says more than what it extends, and no commit has it" in capsys.readouterr().err
    assert load.load().evaluate.seed == 3
    assert main(["use", "below", "--force"]) == 0
    assert load.load().name == "below"


def test_params_are_those_of_the_config():
    tree = yamls.read(ROOT / "params.yaml")
    assert (ROOT / "params.yaml").read_text() == params.text(
        Study.model_validate({k: v for k, v in tree.items() if k != "runs"})
    )


def test_the_committed_params_are_up_to_date(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert paths.PARAMS.read_text() == params.text(load.load()), "stale: run `orchard check`"
