"""Evaluations as they are read, and what is refused among them."""

import json

import pandas

from orchard.report import evaluations
from tests.helpers.planted import run_report, write_study


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
