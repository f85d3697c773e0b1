"""What stages cost, from Snakemake's benchmark files and the jobs' logs."""

import pytest

from orchard import paths
from orchard.__main__ import main
from orchard.errors import UserError
from orchard.lineage import costs
from tests.helpers.messages import assert_one_message

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
RAN = "Running stage '{}':\n> python\nused {} CPU s and at most {} MiB\nused 6.00 CPU s and at most 70 MiB\n"


def write(out: str, row: str, log: str) -> None:
    """The log and the benchmark of a job."""
    for file, text in ((paths.LOGS / f"{out}.log", log), (paths.BENCHMARKS / f"{out}.tsv", f"{HEAD}{row}\n")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_costs_are_summed_by_family(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["costs"]) == 0
    assert "No run in this folder" in capsys.readouterr().out
    write("results/models/sft-nll-1", "30" + "\t1" * 9, RAN.format("sft@nll-1", "18.00", 400))
    write("results/models/sft-nll-2", "90" + "\t1" * 9, RAN.format("sft@nll-2", "54.00", 500))
    write("data/eval/calc.jsonl", "30" + "\t1" * 9, "Running stage 'generate@calc':\n")
    assert costs.by_family(costs.by_stage()) == [
        {"family": "sft", "stages": 2, "peak_mib": 500.0, "minutes": 2.0, "cpu_minutes": 1.4},
        {"family": "generate", "stages": 1, "peak_mib": 0.0, "minutes": 0.5, "cpu_minutes": 0.0},
    ]
    assert main(["costs"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:3] == [["sft", "2", "2.0", "1.4", "500"], ["generate", "1", "0.5", "0.0", "0"]]


def test_a_stage_is_expected_to_take_what_it_took_here_else_its_familys_mean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths.COSTS.parent.mkdir()
    paths.COSTS.write_text("family,seconds,stages\nsft,50,3\n")
    cached = "Stage 'sft@nll-2' is cached - skipping run, checking out outputs\n"
    write("results/models/sft-nll-1", "30" + "\t1" * 9, RAN.format("sft@nll-1", 1, 1))
    write("results/models/sft-nll-2", "2" + "\t1" * 9, cached)
    write("data/eval/calc.jsonl", "4" + "\t1" * 9, RAN.format("generate@calc", 1, 1))
    stages = ["sft@nll-1", "sft@nll-2", "generate@calc", "rl@grpo-nll-1"]
    assert costs.durations(stages) == {"sft@nll-1": 30.0, "sft@nll-2": 50.0, "generate@calc": 4.0}
    assert costs.expected(stages) == (84.0, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"family,seconds\nsft\n",
        b"family,seconds\nsft,fast\n",
        b"family,seconds\nsft,nan\n",
        b"family,seconds\nsft,inf\n",
        b"family,seconds\nsft,-1\n",
        b"name\nsft\n",
        b"family,seconds\n\xff,1\n",
        b'family,seconds\n"sft,1\n',
        b"<<<<<<< ours\nfamily,seconds\n",
    ],
)
def test_broken_times_are_one_message(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    paths.COSTS.parent.mkdir()
    paths.COSTS.write_bytes(content)
    with pytest.raises(UserError) as refused:
        costs.expected(["sft@nll-1"])
    assert_one_message(str(refused.value), ["measured/costs.csv", "`git checkout measured/costs.csv`"])


@pytest.mark.parametrize("row", ["30", "", "30\t0:00:30\t400"])
def test_a_benchmark_that_a_kill_cut_is_left_out(tmp_path, monkeypatch, row):
    monkeypatch.chdir(tmp_path)
    write("results/models/sft-nll-1", row, RAN.format("sft@nll-1", 1, 1))
    assert costs.durations(["sft@nll-1"]) == {}
    assert costs.by_stage() == []
