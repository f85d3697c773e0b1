"""Evaluations as they are read, and what is refused among them."""

import json
import shutil

import pandas
import pytest

from orchard import paths
from orchard.errors import UserError
from orchard.report import evaluations
from orchard.report.claims import judge
from orchard.report.evaluations import SCORE, Evaluations
from orchard.report.page import samples
from tests.helpers.planted import evaluations_of, report, run_report, studies_of, write_study


def test_results_are_tidy(folder):
    results = pandas.read_parquet(folder / "results.parquet")
    assert not results.duplicated(["model", "task", "metric"]).any()
    row = results[
        (results["model"] == "recover-base-tiny-1-block-influence-0.25-self-1") & (results["metric"] == "pass@1")
    ].iloc[0]
    assert (row["of"], row["method"], row["ratio"], row["author"], row["seed"], row["draw"]) == (
        "base-tiny-1", "block-influence", 0.25, "self", 1, 1
    )  # fmt: skip
    assert len(pandas.read_csv(folder / "results.csv")) == len(results)


def test_models_with_other_items_are_refused(tmp_path):
    root = write_study(tmp_path, skip=("rl", "prune", "recover"))
    path = root / "results/evals/sft-nll-1/scores.parquet"
    pandas.read_parquet(path).iloc[3:].to_parquet(path, index=False)
    done = run_report(root)
    assert done.returncode == 1
    assert "results/evals/sft-nll-1 has other items in task calc" in done.stderr
    assert "Traceback" not in done.stderr


def test_models_of_one_recipe_with_other_settings_are_refused(tmp_path):
    root = write_study(tmp_path, skip=("prune", "recover"))
    path = root / "results/evals/rl-grpo-pear-token-2/record.json"
    path.write_text(path.read_text().replace("a" * 64, "b" * 64))
    done = run_report(root)
    assert done.returncode == 1
    assert "rl-grpo-pear-token-2 went through other RL than rl-grpo-last-tokens-1, by one name: grpo" in done.stderr
    assert "Traceback" not in done.stderr


def test_kinds_of_errors_are_names_and_no_column_of_a_table():
    errors = [None, "wrong answer", "right", "=HYPERLINK(1)", "task", "NameError", "_x", "a$b$", "\n"]
    samples = pandas.DataFrame([{"task": "code", "errors": json.dumps(errors)}])
    shares = evaluations.error_shares(samples)["code"]
    assert {kind: round(9 * share) for kind, share in shares.items()} == {
        "right": 1, "wrong answer": 1, "other exception": 6, "NameError": 1,
    }  # fmt: skip


def split(root, model: str, tasks: dict[str, list[str]]) -> None:
    """Makes suites of a model's evaluation, each of some tasks; others are not asked."""
    whole = root / "results/evals" / model
    for suite, own in tasks.items():
        folder = paths.evaluation(model, suite)
        (root / folder).mkdir(parents=True)
        for name in ("scores", "samples"):
            table = pandas.read_parquet(whole / f"{name}.parquet")
            table[table["task"].isin(own)].to_parquet(root / folder / f"{name}.parquet", index=False)
        shutil.copy(whole / "record.json", root / folder)
    shutil.rmtree(whole)


def test_the_suites_of_a_model_are_joined(tmp_path):
    root = write_study(tmp_path)
    before = evaluations_of(root)
    for model in before.facts:
        split(root, model, {"chosen": ["fact", "cmp"], "written": ["calc"]})
    after = evaluations_of(root)
    pandas.testing.assert_frame_equal(evaluations.tidy(after), evaluations.tidy(before))
    assert (after.chance_level, after.errors, after.facts) == (before.chance_level, before.errors, before.facts)
    assert after.folder("sft-nll-1") == root / "results/evals/sft-nll-1.suites"
    pruned = next(model for model in before.overlaps)
    assert after.overlaps[pruned] == before.overlaps[pruned], "none is shared by either suite"
    assert samples.wrong_answers(root / paths.EVALUATIONS).keys() == before.facts.keys()


def test_what_two_suites_share_with_the_calibration_is_at_most_all_of_it():
    assert evaluations.joined({"prompts": 9, "shared": 4}, None) == {"prompts": 9, "shared": 4}
    assert evaluations.joined({"prompts": 9, "shared": 4}, {"prompts": 9, "shared": 3})["shared"] == 7
    assert evaluations.joined({"prompts": 9, "shared": 4}, {"prompts": 9, "shared": 8})["shared"] == 9


def test_suites_of_two_models_by_one_name_are_refused(tmp_path):
    root = write_study(tmp_path, skip=("rl", "prune", "recover"))
    split(root, "sft-nll-1", {"chosen": ["fact", "cmp"], "written": ["calc"]})
    path = root / "results/evals/sft-nll-1.suites/written/record.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(UserError, match=r"sft-nll-1\.suites/written is of another model than its neighbours"):
        evaluations_of(root)


def test_a_claim_about_what_models_were_not_asked_says_so(tmp_path):
    root = write_study(tmp_path)
    for model in [name for name in evaluations_of(root).facts if name.startswith("recover-")]:
        split(root, model, {"written": ["calc"]})
    for model in [name for name in evaluations_of(root).facts if "-skip-" in name]:
        split(root, model, {"chosen": ["fact", "cmp"]})
    for model in ("rl-grpo-nll-1", "rl-grpo-nll-2"):
        split(root, model, {"chosen": ["fact", "cmp"]})
    pear, pruned = studies_of(root)
    rows = {row.id: row for row in judge.judge_all(pear, pruned).itertuples()}
    recovered = "recover-base-tiny-1-block-influence-0.25-self-1"
    for claim, reason in {
        "L1": f"no model recovered on its own data has retention of classification: {recovered} was not asked fact",
        "L2": f"has retention of both generation and classification: {recovered} was not asked fact",
        "L5": "lacks a single layer but the first: prune-base-tiny-1-skip-0 was not asked calc",
        "P2": "not every model has pass@1 on calc",
        "P3": "rl-grpo-nll-1 was not asked calc",
        "P10": "not every model has pass@1 on calc",
    }.items():
        assert rows[claim].verdict == "not tested"
        assert rows[claim].reason.endswith(reason), rows[claim].reason
    for claim in ("L3", "L11"):
        assert rows[claim].verdict != "not tested"
    assert report(root).is_dir(), "the page and its figures do without"


def named(values: dict[str, float], kind: str = "lm-eval", responses: str = "[[[-1, false]], [[-2, false]]]"):
    """Two models' scores and samples of a task, an item's metrics and their values being these."""
    rows = [
        {"model": model, "task": "arc", "kind": kind, "item": item, "metric": metric, "value": value}
        for model in ("one", "other")
        for item in ("a", "b")
        for metric, value in values.items()
    ]
    samples = [{"task": "arc", "item": item, "responses": responses, "errors": "[]"} for item in ("a", "b")]
    return pandas.DataFrame(rows), pandas.DataFrame(samples)


def read_from(scores: pandas.DataFrame, asked: dict | None = None) -> Evaluations:
    facts = {model: dict.fromkeys(evaluations.FACTS) for model in scores["model"].unique()}
    return Evaluations(facts, facts, scores, {}, scores_asked=asked or {})


@pytest.mark.parametrize(
    ("kind", "metrics", "expected"),
    [
        ("lm-eval", ["acc", "acc_norm", "f1"], "acc_norm"),
        ("lm-eval", ["acc", "brier"], "acc"),
        ("lm-eval", ["exact_match, strict-match", "exact_match, flexible-extract"], "exact_match, flexible-extract"),
        ("lm-eval", ["exact_match, b", "exact_match, a"], "exact_match, a"),
        ("lm-eval", ["bits_per_byte"], None),
        ("summary", ["rouge-l", "rep-2"], "rouge-l"),
        ("generation", ["pass@1", "pass@8"], "pass@1"),
        ("minimal-pair", ["acc"], "acc"),
        ("likelihood", ["nats"], None),
    ],
)
def test_the_score_of_a_task_is_a_metric_of_its_kind(kind, metrics, expected):
    assert evaluations.score_metric(kind, metrics) == expected
    scores, _ = named(dict.fromkeys(metrics, 0.5), kind)
    assert read_from(scores).has("one", "arc", SCORE) == (expected is not None)


def test_the_study_may_name_another_metric():
    scores, _ = named({"acc": 0.25, "acc_norm": 0.75})
    assert read_from(scores).values(["one"], "arc", SCORE).tolist() == [[0.75, 0.75]]
    assert read_from(scores, {"arc": "acc"}).values(["one"], "arc", SCORE).tolist() == [[0.25, 0.25]]


@pytest.mark.parametrize(
    ("values", "less", "reason"),
    [
        ({"acc": 1.0}, set(), "which it does not have: it has acc"),
        ({"bleu": 30.0, "acc": 1.0}, set(), "of which a value is 30"),
        ({"bleu": 0.5}, {("arc", "bleu")}, "of which less is better"),
    ],
)
def test_a_metric_that_can_be_no_score_is_refused(values, less, reason):
    scores, _ = named(values)
    with pytest.raises(UserError, match=f"report.scores.arc: 'bleu', {reason}"):
        evaluations.refuse_unfit_scores({"arc": "bleu"}, scores, less)
    evaluations.refuse_unfit_scores({"arc": "acc", "other": "acc"}, named({"acc": 0.0})[0], less)


@pytest.mark.parametrize(
    ("kind", "responses", "expected"),
    [
        ("lm-eval", "[[[-1, false]], [[-2, false]], [[-3, true]], [[-1, false]]]", 0.25),
        ("lm-eval", '[["an answer"]]', 0.0),
        ("lm-eval", "[[[-1, false]]]", 0.0),  # whether one text is the likeliest: a guess is never right
        ("summary", '[["a summary", "another"]]', 0.0),
        ("choice", "[[[-1, false]], [[-2, false]]]", 0.5),
    ],
)
def test_a_guess_is_worth_what_its_choices_are(kind, responses, expected):
    assert evaluations.chance_levels(*named({"acc": 1.0}, kind, responses)) == {"arc": expected}


def test_the_largest_k_is_that_of_all_models():
    scores, _ = named({"pass@1": 0.5, "pass@8": 1.0, "strict pass@1": 0.5}, "generation")
    fewer = scores[~((scores["model"] == "other") & (scores["metric"] == "pass@8"))]
    assert read_from(scores).largest_k(["one", "other"], "arc") == 8
    assert read_from(fewer).largest_k(["one", "other"], "arc") == 1
    assert read_from(fewer).largest_k(["one"], "arc") == 8
    assert read_from(fewer).largest_k(["one"], "none") == 0
