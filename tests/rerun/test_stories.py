"""The stories of exact re-runs (S1 to S9 of the design) on the smoke study, with real clones and a real remote."""

import json
import zipfile

import pandas
import pytest

OF_NLL = ("sft@nll", "rl@grpo-nll", "evaluate@sft-nll", "evaluate@rl-grpo-nll")
CHAIN_OF_NLL = {f"{stage}-{seed}" for stage in OF_NLL for seed in (1, 2)} | {"report"}


def test_s1_clone_and_pull_leave_nothing_to_do(colleague):
    colleague.run("dvc", "pull", "-q")
    assert "Nothing to be done" in colleague.snakemake("-n")


def test_s2_clone_without_pull_restores_everything_and_runs_nothing(colleague, finished):
    colleague.snakemake("--cores", "2")
    assert colleague.executed() == set()
    assert colleague.lock() == finished.lock()
    assert (colleague.folder / "results/report/claims.csv").is_file()
    assert "Nothing to be done" in colleague.snakemake("-n")


@pytest.mark.parametrize(
    "remote", [("remove", "shared"), ("modify", "shared", "url", "../empty")], ids=["none", "empty"]
)
def test_a_clone_runs_what_no_remote_has(colleague, finished, remote):
    (colleague.folder.parent / "empty").mkdir()
    colleague.run("dvc", "remote", *remote)
    colleague.snakemake("--cores", "2", "data/eval/calc.jsonl")
    assert colleague.executed() == {"generate@calc"}
    assert colleague.lock() == finished.lock()


def test_s3_an_edit_without_effect_runs_that_stage_alone(pulled):
    pulled.edit(
        "src/orchard/stages/respond.py", "import jsonl, paths\n", "import jsonl, paths  # an edit of no effect\n"
    )
    pulled.snakemake("--cores", "2")
    assert pulled.executed() == {name for name in pulled.lock() if name.startswith("respond@")}
    pulled.run("git", "checkout", "-q", ".")


def test_s4_a_changed_variant_runs_its_chain_and_s5_taking_it_back_runs_nothing(pulled, finished):
    pulled.set("sft.objectives.nll.learning_rate", 5.0e-4)
    assert pulled.stale() == CHAIN_OF_NLL
    pulled.snakemake("--cores", "2")
    assert pulled.executed() == CHAIN_OF_NLL
    changed = pulled.lock()
    assert changed["sft@nll-1"]["outs"] != finished.lock()["sft@nll-1"]["outs"]

    pulled.run("git", "checkout", "-q", "config.yaml", "params.yaml")  # dvc.lock stays as the changed run left it
    pulled.snakemake("--cores", "2")
    assert pulled.executed() == set()
    assert pulled.lock() == finished.lock()


def test_an_evaluation_limit_runs_evaluations_and_what_reads_them_alone(pulled):
    pulled.set("evaluate.limit", 10)
    stale = pulled.stale()
    pulled.run("git", "checkout", "-q", "config.yaml")
    readers = {name for name in pulled.lock() if name.startswith(("evaluate@", "artifact@"))}
    assert stale == readers | {"report"}


def test_s7_all_stages_stand_in_the_lock_file(finished):
    names = finished.run("dvc", "stage", "list", "--name-only", "--all").stdout.split()
    assert set(finished.lock()) == set(names)
    assert len(names) >= 30


def test_dvc_and_snakemake_show_the_numbers_of_the_report(pulled, tmp_path):
    claims = pandas.read_csv(pulled.folder / "results/report/claims.csv").set_index("id")["ours"].dropna()
    metrics = json.loads(pulled.run("dvc", "metrics", "show", "--json").stdout)
    numbers = metrics[""]["data"]["results/report/metrics.json"]["data"]
    assert {name: numbers[f"{name}_ours"] for name in claims.index if "/" not in name} == {
        name: value for name, value in claims.items() if "/" not in name
    }
    vega = json.loads(pulled.run("dvc", "plots", "show", "--show-vega", "claims").stdout)
    drawn = {point["id"]: float(point["ours"]) for point in vega["data"]["values"] if point["ours"]}
    assert drawn == claims.to_dict()
    pulled.snakemake("--report", str(tmp_path / "report.zip"))
    names = zipfile.ZipFile(tmp_path / "report.zip").namelist()
    assert any(name.endswith("/index.html") for name in names)


def test_s9_old_outputs_with_a_newer_config_and_code_are_named_stale(colleague):
    colleague.run("dvc", "pull", "-q")
    colleague.set("recover.trainer.learning_rate", 5.0e-4)
    colleague.edit("src/orchard/stages/sft/pear.py", "import math\n", "import math  # newer\n")
    arms = colleague.study()["sft"]["arms"]
    expected = {
        f"{stage}{arm}-{seed}"
        for arm in arms
        for seed in (1, 2)
        for stage in ("sft@", "rl@grpo-", "evaluate@sft-", "evaluate@rl-grpo-")
    }
    expected |= {name for name in colleague.lock() if "rl-grpo-pear-token-1" in name}  # pruned from what those make
    expected |= {f"artifact@{name}" for name in ("rl", "pruned", "recovered")}
    assert colleague.stale() == expected | {"report"}
    assert colleague.run("git", "status", "--porcelain").stdout.split() == [
        "M",
        "config.yaml",
        "M",
        "src/orchard/stages/sft/pear.py",
    ]
