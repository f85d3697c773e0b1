"""Which models are asked which tasks, and what an edit of a suite concerns."""

import pytest

from orchard import yamls
from orchard.lineage import graph
from orchard.lineage import project as lineage
from orchard.study import checks, params, runs
from orchard.study.schema.study import Study
from tests.helpers.project import ROOT, Project
from tests.helpers.studies import DEFAULT, edited

ALL_TASKS = list(DEFAULT["evaluate"]["tasks"])
SUITES = {
    "chains": {"of": ["base", "sft", "rl"], "tasks": ["calc"]},
    "unpruned": {"of": ["base-tiny-1", "rl-grpo-pear-token"], "tasks": [task for task in ALL_TASKS if task != "calc"]},
    "pruned": {"of": ["prune", "recover"], "tasks": ["calc", "fact"], "samples": {"calc": 2}},
    "one-layer": {"of": ["skip"], "tasks": ["calc"], "samples": {"calc": 1}},
}


def study_of(**changes) -> Study:
    """The default study on two chains with these suites, edited."""
    small = {"base.tiny.seeds": [1, 2], "prune.skip": ["base-tiny-1"], "evaluate.suites": SUITES}
    return Study.model_validate(edited(small | {key.replace("__", "."): value for key, value in changes.items()}))


def test_without_suites_each_model_is_asked_everything_in_one_stage():
    study = study_of(evaluate__suites=None)
    tree = params.tree(study)["runs"]
    run = tree["evaluate"]["sft-nll-2"]
    assert (run["model"], run["suite"], run["folder"]) == ("sft-nll-2", "all", "sft-nll-2")
    assert tree["evaluate"]["prune-base-tiny-1-skip-3"]["layer"] == 3
    assert list(tree["suites"]) == ["all"]
    assert list(tree["suites"]["all"]["tasks"]) == ALL_TASKS
    assert set(tree["evaluate"]) == set(runs.subjects(study, runs.expand(study)))


def test_a_model_is_a_stage_for_each_of_its_suites():
    tree = params.tree(study_of())["runs"]
    asked = {}
    for name, run in tree["evaluate"].items():
        model, suite = name.rsplit(".", 1)
        assert (run["suite"], run["folder"]) == (suite, f"{model}.suites/{suite}")
        asked.setdefault(model, []).append(suite)
    assert asked["base-tiny-1"] == asked["rl-grpo-pear-token-2"] == ["chains", "unpruned"]
    assert asked["base-tiny-2"] == asked["sft-nll-1"] == ["chains"]
    assert asked["prune-base-tiny-1-skip-0"] == ["one-layer"]
    assert asked["recover-rl-grpo-pear-token-1-block-influence-0.25-self-steps-1"] == ["pruned"]
    pruned = tree["suites"]["pruned"]["tasks"]
    assert (list(pruned), pruned["calc"]["samples"]) == (["calc", "fact"], 2)
    assert tree["suites"]["chains"]["tasks"]["calc"]["samples"] == 8


def test_a_k_that_fewer_samples_cannot_tell_is_left_out():
    study = study_of(evaluate__tasks__calc__k=[1, 2, 8])
    ks = {name: study.evaluate.suite(name).tasks["calc"].ks() for name in ("chains", "pruned", "one-layer")}
    assert ks == {"chains": [1, 2, 8], "pruned": [1, 2], "one-layer": [1]}


def test_a_model_that_is_handed_out_reads_all_its_scores():
    tree = edited(
        {"evaluate.suites": SUITES | {"pruned": SUITES["pruned"] | {"of": ["prune", "recover", "base-tiny-9"]}}}
    )
    handed = Study.model_validate(tree | {"artifacts": {"base": "base-tiny-1"}})
    assert runs.expand(handed)["artifact"]["base"].scores == "base-tiny-1.suites"
    alone = Study.model_validate(edited({}) | {"artifacts": {"base": "base-tiny-1"}})
    assert runs.expand(alone)["artifact"]["base"].scores == "base-tiny-1"


def without(suite: str, task: str) -> dict:
    return {suite: SUITES[suite] | {"tasks": [each for each in SUITES[suite]["tasks"] if each != task]}}


WRONG = {
    "good": ({}, []),
    "an unknown word": (
        {"chains": SUITES["chains"] | {"of": ["base", "sfd", "rl", "sft"]}},
        ["evaluate.suites.chains.of: 'sfd'", "'sft'"],
    ),
    "a kind without models": (
        {"more": {"of": ["rl-grpo-pear-token-9"], "tasks": ["calc"]}}, ["'rl-grpo-pear-token-9'"]
    ),
    "a model without suite": (
        {"chains": SUITES["chains"] | {"of": ["base", "rl"]}}, ["sft-nll-1 and 5 more, in no suite of evaluate.suites"]
    ),
    "a task by two suites": (
        {"more": {"of": ["base-tiny-1"], "tasks": ["calc"]}}, ["base-tiny-1 is asked 'calc' by several suites"]
    ),
    "what the unpruned model is not asked": (
        {"one-layer": SUITES["one-layer"] | {"tasks": ["calc"]}, **without("unpruned", "fact"),
         "facts": {"of": ["sft"], "tasks": ["fact"]}},
        ["is asked 'fact', and rl-grpo-pear-token-1 is not", "ask rl-grpo-pear-token-1 too, or neither"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_suites_that_leave_something_out_are_refused(name):
    changes, expected = WRONG[name]
    found = "\n".join(map(str, checks.mistakes(study_of(evaluate__suites=SUITES | changes))))
    assert all(text in found for text in expected), found
    assert bool(found) == bool(expected), found


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """The smoke study with suites, checked and not run."""
    project = Project.from_working_tree(tmp_path_factory.mktemp("suites") / "project")
    suites = {
        "whole": {"of": ["base", "sft", "rl"], "tasks": ["calc", "fact"]},
        "cut": {"of": ["prune", "recover"], "tasks": ["calc"], "samples": {"calc": 2}},
    }
    project.set("evaluate.suites", suites)
    project.orchard("check")
    return project


def depends_on(project: Project, monkeypatch) -> dict[str, tuple]:
    """What each stage writes and depends on: its command, its output and the values of its parameters."""
    monkeypatch.chdir(project.folder)
    with lineage.opened() as opened:
        return {name: (stage.command, stage.out, repr(opened.params(stage))) for name, stage in opened.stages.items()}


def test_an_edit_of_a_suite_concerns_its_stages_alone(project, monkeypatch):
    before = depends_on(project, monkeypatch)
    names = [name for name in before if name.startswith("evaluate@")]
    cut = {name for name in names if name.endswith(".cut")}
    assert len(cut) == 4
    assert {name.rsplit(".", 1)[1] for name in names} == {"cut", "whole"}
    for key, value, expected in (
        ("evaluate.suites.cut.samples", {"calc": 3}, cut),
        ("evaluate.suites.cut.tasks", ["calc", "fact"], cut),
        ("evaluate.tasks.fact.limit", 10, set(names) - cut),
        ("evaluate.tasks.calc.max_new_tokens", 23, set(names)),
        ("evaluate.batch_size", 40, set(names)),
    ):
        kept = (project.folder / "config.yaml").read_text()
        project.set(key, value)
        after = depends_on(project, monkeypatch)
        (project.folder / "config.yaml").write_text(kept)
        assert {name for name in before if before[name] != after.get(name)} == expected, key


def test_a_job_that_knows_its_own_run_alone_knows_its_suite(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    tree = yamls.read(project.folder / "params.yaml")
    name = "evaluate@base-tiny-1.whole"
    with lineage.opened(tree, names=[name]) as opened:
        expected = opened.params(opened.stages[name])
    with lineage.opened(graph.needed(tree, name), names=[name]) as opened:
        assert opened.params(opened.stages[name]) == expected
        assert opened.stages[name].out == "results/evals/base-tiny-1.suites/whole"
    assert list(expected["runs.suites.whole"]["tasks"]) == ["calc", "fact"]


def test_the_default_study_asks_pruned_models_for_fewer_samples():
    tree = yamls.read(ROOT / "studies/default.yaml")
    asked = Study.model_validate(tree).evaluate
    samples = {name: asked.suite(name).tasks["calc"].samples for name in ("chains", "pruned", "recovered", "one-layer")}
    assert samples == {"chains": 8, "pruned": 2, "recovered": 2, "one-layer": 2}
