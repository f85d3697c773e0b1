"""The report stage, run for real on evaluations with planted effects."""

import hashlib
import json
import shutil

import pandas

from tests.helpers.planted import SETTINGS, report, write_study


def test_writes_what_dvc_and_readers_expect(folder):
    names = ("reinforcement", "curves", "drift", "weights", "retention", "recovery", "speeds", "skips", "degeneration")
    names += ("errors", "claims-at-a-glance")
    figures = {f"{name}.{kind}" for name in names for kind in ("svg", "png", "csv")}
    files = {"results.parquet", "results.csv", "claims.csv", "metrics.json", "index.html", "summary.md"}
    assert {path.name for path in folder.iterdir()} == figures | files


def test_two_runs_give_the_same_bytes(folder, tmp_path):
    again = report(write_study(tmp_path))
    assert hashes(again) == hashes(folder)


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_metrics_are_flat_numbers(folder, judged):
    metrics = json.loads((folder / "metrics.json").read_text())
    assert all(isinstance(value, float) for value in metrics.values())
    assert metrics["P2_ours"] == judged.loc["P2", "ours"]


def test_a_study_without_an_arm_says_why_it_does_not_test(tmp_path):
    folder = report(write_study(tmp_path, SETTINGS | {"pear": None}, skip=("recover",)))
    judged = pandas.read_csv(folder / "claims.csv").set_index("id")
    assert judged.loc["P2", ["verdict", "reason"]].tolist() == ["not tested", "report.pear is null"]
    assert judged.loc["L3", "verdict"] == "not tested"
    assert judged.loc["L3", "reason"].startswith("no pruned model was recovered")
    assert judged.loc["L13", ["verdict", "reason"]].tolist() == ["not tested", "report.pruning.matched is empty"]
    assert judged.loc["P2", ["model", "ours", "low", "high", "n", "could_have_seen", "command"]].isna().all()
    assert judged.loc["L11", "verdict"] != "not tested"


def test_a_study_of_one_base_model_still_has_a_report(tmp_path):
    folder = report(write_study(tmp_path, skip=("sft", "rl", "prune", "recover")))
    judged = pandas.read_csv(folder / "claims.csv")
    assert (judged["verdict"] == "not tested").all()
    assert judged["reason"].notna().all()
    assert not list(folder.glob("*.svg"))


def test_one_seed_gives_figures_and_no_verdict(tmp_path):
    root = write_study(tmp_path, skip=("prune", "recover"))
    for path in [*root.glob("results/evals/*-2"), *root.glob("results/evals/*-3")]:
        shutil.rmtree(path)
    folder = report(root)
    judged = pandas.read_csv(folder / "claims.csv").set_index("id")
    trained = judged.loc[["P1", "P2", "P5", "P8", "P10"]]
    assert (trained["verdict"] == "inconclusive").all()
    assert (trained["reason"] == "one chain, one pretrained model").all()
    assert judged.loc["P8", ["low", "high", "could_have_seen"]].isna().all()
    assert "P8_low" not in json.loads((folder / "metrics.json").read_text())
    assert (folder / "drift.png").is_file()
