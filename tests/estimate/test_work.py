"""The work of a study against its expanded runs: no stage is forgotten, and each does what it itself would do."""

from pathlib import Path

import pytest

from orchard import jsonl, paths
from orchard.estimate import amounts, architectures, estimate, work
from orchard.estimate.work import STEP, Amounts, Work
from orchard.study import params, runs
from orchard.study.schema.study import Study
from tests.helpers.project import ROOT
from tests.helpers.studies import WHOLE, edited

DEFAULT = Study.model_validate(WHOLE)


def known(study: Study) -> Amounts:
    found = {name: architectures.settings_of(name, study, {})[0] for name in estimate.loaded(study)}
    return Amounts(study, runs.expand(study), estimate.shapes_of(study, found))


def by_stage(study: Study) -> dict[str, Work]:
    return {each.stage: each for each in work.of_study(known(study))}


@pytest.mark.parametrize("name", ["default", "smoke", "smollm2", "pear-full", "pruning-full"])
def test_every_stage_of_a_study_is_counted_once(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    study, tree = estimate.study_of(paths.STUDIES / f"{name}.yaml")
    found = [each.stage for each in work.of_study(known(study))]
    data = [f"{family}@{each}" for family in ("generate", "ingest") for each in tree["data"][family]]
    families = [f"{family}@{each}" for family, of in tree[params.RUNS].items() for each in of if family != "suites"]
    assert sorted(found) == sorted([*data, *families, "report"])


@pytest.mark.parametrize(
    ("stage", "times"),
    [
        ("base@tiny-1", 900),
        ("behave@teacher", 4000),
        ("sft@nll-1", 125),
        ("rl@grpo-nll-1", 16),
        ("prune@rl-grpo-pear-token-1-block-influence-0.25", 128),
        ("respond@rl-grpo-pear-token-1-self", 640),
    ],
)
def test_steps_are_those_that_the_stage_takes(stage, times):
    assert by_stage(DEFAULT)[stage].times == {STEP: times}


@pytest.mark.parametrize(
    ("changes", "stage", "times"),
    [
        ({"sft.trainer.epochs": 3}, "sft@nll-1", 375),
        ({"sft.trainer.batch_size": 64}, "sft@nll-1", 63),
        ({"sft.objectives.nll.select": {"kind": "style", "styles": ["D"]}}, "sft@nll-1", 63),
        ({"sft.objectives.nll.select": {"kind": "likelihood", "keep": 0.1}}, "sft@nll-1", 13),
        ({"sft.objectives.nll": {"loss": "none"}, "report.pear": None}, "sft@nll-1", 0),
        ({"rl.recipes.grpo.steps": 40}, "rl@grpo-nll-1", 40),
        (
            {"prune.methods": ["perplexity"], "recover.of": []},
            "prune@rl-grpo-pear-token-1-perplexity-0.25",
            128 * 8,
        ),
    ],
)
def test_steps_follow_the_study(changes, stage, times):
    assert by_stage(Study.model_validate(edited(changes, WHOLE)))[stage].times == {STEP: times}


def test_a_pruned_model_costs_a_token_what_its_layers_cost():
    found, shape = by_stage(DEFAULT), known(DEFAULT).shapes["tiny"]
    half = found["recover@rl-grpo-pear-token-1-block-influence-0.5-open-steps-1"]
    assert half.layers == 4
    assert half.times[STEP] == 40 * shape.deep(4).working / shape.working
    whole, view = found["evaluate@base-tiny-1"], found["evaluate@prune-base-tiny-1-skip-0"]
    assert view.layers == 7
    assert view.times["calc"] == whole.times["calc"] * shape.deep(7).working / shape.working


def test_a_search_costs_less_from_round_to_round():
    assert work.rounds(4, 3) == [1, (3 / 4) ** 2, (2 / 4) ** 2]


def test_a_token_budget_takes_as_many_rows_as_make_it_up():
    budget = {"of": ["self"], "amount": {"kind": "equal-tokens", "tokens": 5600}}
    found = by_stage(Study.model_validate(edited({"recover.budgets": {"tokens": budget}}, WHOLE)))
    name = "recover@rl-grpo-pear-token-1-block-influence-0.125-self-tokens-1"
    share = known(DEFAULT).share("tiny", 7)
    assert found[name].times[STEP] == pytest.approx(share * -(-100 // 32))  # 100 responses of 56 tokens, the maximum


def test_lengths_of_responses_are_measured_where_results_are_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert amounts.of_responses(["m-self"], 56) == (56, 56, "assumed: the maximum")
    file = paths.responses("m-self")
    file.parent.mkdir(parents=True)
    jsonl.write(file, [{"completion_ids": [1] * length} for length in (10, 20, 30)])
    found = amounts.of_responses(["m-self", "not-here"], 56)
    assert (found.mean, found.origin) == (20, "measured: data/responses")
    assert found.share == 20 / 56


def test_rows_of_files_that_are_not_here_are_those_of_the_limit(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    study, _ = estimate.study_of(Path("studies/smollm2.yaml"))
    assert amounts.count(study, "data/eval/gsm8k.jsonl") == 12
    assert amounts.count(study, "data/recovery") == 300
