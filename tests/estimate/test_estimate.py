"""`orchard estimate`: a tiny study from its config to a table, and what is refused, scaled and told."""

import json
import resource

import pytest

from orchard import paths, yamls
from orchard.__main__ import main
from orchard.estimate import estimate, show
from orchard.estimate.architectures import KNOWN
from orchard.estimate.estimate import Machine, StageCost
from orchard.estimate.formulas import weights
from orchard.estimate.rehearsal import Took
from orchard.estimate.work import STEP, Kind
from orchard.study.schema.study import Study
from tests.helpers.messages import assert_one_message
from tests.helpers.project import ROOT
from tests.helpers.studies import WHOLE, edited

TINY = {  # of the default study: one chain, few tasks, and a search
    "base.tiny.seeds": [1],
    "base.tiny.model": {"layers": 4, "hidden_size": 16, "intermediate_size": 24, "heads": 2, "positions": 128},
    "data.generate.mix.items": 640,
    "data.generate.sft.items": 128,
    "data.generate.rl.items": 64,
    "prune.of": ["rl-grpo-pear-token-1"],
    "prune.methods": ["block-influence", "greedy"],
    "prune.ratios": [0.25],
    "prune.skip": [],
    "prune.selection": {
        "batch_size": 32,
        "tasks": {"answers": {"kind": "likelihood", "items": "data/calibration/held-in.jsonl"}},
    },
    "recover.ratios": [0.25],
    "rl.recipes.grpo": WHOLE["rl"]["recipes"]["grpo"]
    | {"prompts_per_step": 4, "samples_per_prompt": 2, "max_new_tokens": 8},
    "evaluate.tasks": {
        "calc": WHOLE["evaluate"]["tasks"]["calc"] | {"samples": 2, "max_new_tokens": 8},
        "fact": WHOLE["evaluate"]["tasks"]["fact"],
    },
    "report.generation": ["calc"],
    "report.classification": ["fact"],
    "report.pear": None,
    "report.pruning": {"probe": None, "brackets": None, "matched": []},
    "artifacts": dict.fromkeys(WHOLE["artifacts"]),
}
MACHINE = Machine("cpu", "one core of 2", 10**10, 2)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the tiny study."""
    monkeypatch.chdir(tmp_path)
    paths.CONFIG.write_text(yamls.dumps(edited(TINY, WHOLE)))
    return tmp_path


def children_seconds() -> float:
    """CPU seconds of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_tiny_study_is_estimated_in_a_minute_of_cpu_time(project, capsys):
    before = children_seconds()
    assert main(["estimate", "--json"]) == 0
    assert children_seconds() - before < 60  # of the CPU, which other work beside does not change
    found = json.loads(capsys.readouterr().out)
    assert found["failed"] == []
    # Whose time stands in measured/costs.csv, which this folder has not.
    assert {stage["stage"] for stage in found["stages"] if stage["how"] == "not measured"} == {"report"}
    families = {each["family"]: each for each in found["families"]}
    rehearsed = set(families) - {"report"}
    assert rehearsed >= {"generate", "base", "behave", "sft", "rl", "search", "prune", "respond", "recover", "evaluate"}
    assert all(families[name]["seconds"] > 0 and families[name]["peak"] > 10**8 for name in rehearsed)
    assert families["prune"]["disk"] < 2 * families["base"]["disk"]
    assert "respond self: 56 tokens a response, assumed: the maximum" in found["notes"]
    assert not list((project / paths.SCRATCH).glob("estimate-*"))


@pytest.mark.parametrize("words", [["estimate", "no-such-study"], ["estimate", "--device", "cuda"]])
def test_what_cannot_be_estimated_is_refused_in_one_message(project, capsys, words):
    assert main(words) == 1
    assert_one_message(capsys.readouterr().err, [])


def test_a_model_of_unknown_sizes_is_refused_with_what_to_give():
    base = {"kind": "local", "source": "nowhere", "license": "mit", "model": {"layers": 4}}
    study = Study.model_validate(edited({"base": {"tiny-1": base}}, WHOLE), context={"types_alone": True})
    with pytest.raises(estimate.UserError) as refused:
        estimate.architectures.settings_of("tiny-1", study, {})
    assert_one_message(str(refused.value), ["--config tiny-1=config.json"])


def test_what_grows_with_each_layer_alike_is_known_at_any_depth():
    kind = Kind("sft", "nll", "nll-1", "big")
    at = [Took(kind, 5 + 2 * layers, {STEP: 3 + layers}, 100 + 10 * layers) for layers in (4, 8)]
    assert estimate.deeper(at, [4, 8], 32) == Took(kind, 69, {STEP: 35}, 420)


def test_a_model_that_does_not_fit_is_measured_at_two_smaller_depths(monkeypatch):
    monkeypatch.chdir(ROOT)
    study, _ = estimate.study_of(paths.STUDIES / "smollm2.yaml")
    shapes = {"smollm2": estimate.architectures.shape_of(KNOWN["SmolLM2-135M"])}
    whole, small = (estimate.needs(study, shapes["smollm2"].deep(layers)) for layers in (30, 8))
    assert estimate.depths_to_rehearse(study, shapes, MACHINE._replace(memory=2 * whole)) == [{"smollm2": 30}]
    between = MACHINE._replace(memory=round(whole + small) // 2 * 5 // 4)
    assert estimate.depths_to_rehearse(study, shapes, between) == [{"smollm2": 4}, {"smollm2": 8}]
    with pytest.raises(estimate.UserError) as refused:
        estimate.depths_to_rehearse(study, shapes, MACHINE._replace(memory=small))
    assert_one_message(str(refused.value), [])


def test_speed_divides_the_work_and_is_told():
    study = Study.model_validate(WHOLE)
    shapes = estimate.shapes_of(study, {})
    found = {
        speed: estimate.Estimate("tried", MACHINE, speed, stages_at(study, shapes, speed), [], [])
        for speed in (1.0, 8.0)
    }
    own = [each.total().seconds - estimate.JOB for each in found.values()]
    assert own[0] == pytest.approx(8 * own[1])
    assert "Hours are divided by 8, as --speed says." in show.table(found[8.0])
    assert "divided" not in show.table(found[1.0])


def stages_at(study: Study, shapes: dict, speed: float) -> list[StageCost]:
    """One stage, as if a rehearsal had measured it."""
    kind = Kind("rl", "grpo", "grpo-nll-1", "tiny")
    work = estimate.Work("rl@grpo-nll-1", kind, {STEP: 16}, 8)
    took = {kind: Took(kind, 4.0, {STEP: 2.0}, 10**9)}
    return [estimate.cost(study, work, [took], [{"tiny": 8}], shapes, speed)]


def test_a_stage_costs_what_is_done_once_and_each_step():
    study = Study.model_validate(WHOLE)
    shapes = estimate.shapes_of(study, {})
    [stage] = stages_at(study, shapes, 1.0)
    assert stage.seconds == estimate.JOB + 4 + 16 * 2
    assert (stage.peak, stage.disk, stage.how) == (10**9, weights(shapes["tiny"]), "measured")


def test_the_table_says_what_is_not_counted(monkeypatch):
    monkeypatch.chdir(ROOT)
    kinds = [Kind("fetch", "", "", ""), Kind("artifact", "", "", "")]
    stages = [StageCost("fetch@x", kinds[0], None, 0, 0, "not measured"), StageCost("a", kinds[1], 3.6, 0, 0, "m")]
    text = show.table(estimate.Estimate("tried", MACHINE, 1.0, stages, ["a note"], ["sft nll: why"]))
    assert [line.split()[:3] for line in text.splitlines() if line.startswith(("fetch", "artifact"))] == [
        ["fetch", "1", "unknown"],
        ["artifact", "1", "0.001"],
    ]
    assert "1 stages not counted" in text
    assert "a note" in text
    assert "not measured: sft nll: why" in text
