"""What stages cost, from Snakemake's benchmark files."""

import csv

from orchard.lineage import costs

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def test_costs_are_summed_by_family_and_stand_in_logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    costs.write_page()
    assert not costs.PAGE.exists(), "nothing ran"
    costs.BENCHMARKS.mkdir(parents=True)
    for name, row in {
        "sft-nll-1": "30\t0:00:30\t400\t1\t1\t1\t1\t1\t90\t24",
        "sft-nll-2": "90\t0:01:30\t500.4\t1\t1\t1\t1\t1\t90\t60",
        "generate-eval-calc": "0.9\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA",
    }.items():
        (costs.BENCHMARKS / f"{name}.tsv").write_text(f"{HEAD}{row}\n")
    costs.write_page()
    rows = list(csv.reader(costs.PAGE.with_suffix(".csv").open()))
    assert rows == [costs.COLUMNS, ["sft", "2", "2.0", "1.4", "500"], ["generate", "1", "0.0", "0.0", "0"]]
    page = costs.PAGE.read_text()
    assert page.count("<tr>") == 3 + 4
    assert "<td>sft</td><td>2</td><td>2.0</td><td>1.4</td><td>500</td>" in page
    assert "<td>sft-nll-1</td><td>0.5</td><td>0.4</td><td>400</td>" in page


def test_a_stage_is_expected_to_take_what_it_took_here_else_its_familys_mean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    costs.BENCHMARKS.mkdir(parents=True)
    costs.SHIPPED.parent.mkdir()
    costs.SHIPPED.write_text("family,seconds,stages\nsft,50,3\n")
    for name, seconds, log in [
        ("sft-nll-1", 30, "Running stage 'sft@nll-1':"),
        ("sft-nll-2", 2, "Stage 'sft@nll-2' is cached - skipping run, checking out outputs"),
        ("generate-eval-calc", 4, "Running stage 'generate@calc':"),
    ]:
        (costs.BENCHMARKS / f"{name}.tsv").write_text(f"{HEAD}{seconds}\t0\t1\t1\t1\t1\t1\t1\t1\t1\n")
        (costs.BENCHMARKS.parent / f"{name}.log").write_text(f"{log}\n> python\n")
    stages = ["sft@nll-1", "sft@nll-2", "generate@calc", "rl@grpo-nll-1"]
    assert costs.durations(stages) == {"sft@nll-1": 30.0, "sft@nll-2": 50.0, "generate@calc": 4.0}
    assert costs.expected(stages) == (84.0, 1)
