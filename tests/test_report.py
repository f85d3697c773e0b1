"""The report stage, run for real on evaluations with planted effects."""

import hashlib
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise, product

import numpy as np
import pandas
import pytest
import yaml

from orchard.report import evaluations as rows
from orchard.report.claims import judge as claims
from orchard.report.claims import retention
from orchard.report.claims.judge import COLUMNS, Claim
from orchard.report.figures import drawings as figures
from orchard.report.figures import graph, tables
from orchard.report.page import page
from orchard.report.statistics import Interval

SETTINGS = {
    "confidence": 0.95,
    "generation": ["calc"],
    "classification": ["fact", "cmp"],
    "pear": {
        "task": "calc",
        "data": "teacher",
        "recipe": "grpo",
        "baseline": "nll",
        "treatment": "pear-token",
        "reversal": ["nll", "pear-token", "pear-sequence", "pear-block", "last-tokens", "nll-matched", "kl", "pear-kl"],
        "plain": ["nll", "nll-matched"],
        "forms": ["pear-token", "pear-sequence", "pear-block"],
        "controls": ["last-tokens", "nll-matched"],
        "distillation": None,
        "transfer": None,
        "games": None,
        "twins": None,
    },
    "pruning": {"probe": None, "brackets": None, "matched": []},
}
KINDS = {"calc": ("generation", 200, 0), "fact": ("choice", 60, 6), "cmp": ("choice", 150, 3)}
OF = ["base-tiny", "rl-grpo-pear-token-1", "rl-grpo-pear-token-2"]
SKILL = {("sft", "none"): 0.45, ("sft", "nll"): 0.38, ("sft", "pear-token"): 0.62}
SKILL |= {("rl", "none"): 0.62, ("rl", "nll"): 0.6, ("rl", "pear-token"): 0.83}
SKILL |= {("sft", "pear-sequence"): 0.6, ("sft", "pear-block"): 0.6, ("sft", "last-tokens"): 0.9}
SKILL |= {("rl", "pear-sequence"): 0.78, ("rl", "pear-block"): 0.76, ("rl", "last-tokens"): 0.4}
SKILL |= {("sft", "nll-matched"): 0.4, ("rl", "nll-matched"): 0.65}
START = {"sft": "sft", "rl": "rl-grpo"}
KEEPS = {0.25: {"none": 0.35, "open": 0.55, "self": 0.75}, 0.375: {"none": 0.1, "open": 0.3, "self": 0.5}}
KEEPS_CHOICE = {"none": 0.9, "open": 0.93, "self": 0.97}


# Half the seconds without two of eight layers, a third without three; decoding gains less.
SPEEDS = "base,layers,dropped,phase,round,seconds\n" + "".join(
    f"base-tiny,8,{dropped},{phase},{number},{seconds * number}\n"
    for number in (1, 2, 3)
    for dropped, phases in {0: (6, 6), 2: (3, 5), 3: (2, 4)}.items()
    for phase, seconds in zip(("prefill", "decode"), phases, strict=True)
)


def write_model(root, name, calc, choice, **facts):
    """An evaluation as the evaluate stage writes it, from the chance of a right answer to an average question."""
    random = np.random.default_rng(list(name.encode()))
    scores, samples = [], []
    for task, (kind, count, choices) in KINDS.items():
        hard = np.random.default_rng(count).uniform(-0.5, 0.5, count)  # the same questions for every model
        for number in range(count):
            item = f"{task}-{number:03}"
            if kind == "generation":
                right = random.binomial(8, calc + 2 * hard[number] * calc * (1 - calc))
                values, responses = {"pass@1": right / 8, "pass@8": float(right > 0)}, [["ans 1"] * 8]
                errors = [None] * right + ["wrong answer"] * (8 - right)
                values |= {metric: float(random.uniform(0, 0.02)) for metric in tables.DEGENERATION}
            else:
                values, responses = {"acc": float(random.random() < choice)}, [[-1.0, False]] * choices
                errors = []
            scores += [
                {"task": task, "kind": kind, "item": item, "metric": metric, "value": value}
                for metric, value in values.items()
            ]
            said = {"responses": json.dumps(responses), "errors": json.dumps(errors)}
            samples.append({"task": task, "item": item, "prompt": "", "target": "", **said})
    folder = root / "results/evals" / name
    folder.mkdir(parents=True)
    pandas.DataFrame(scores).to_parquet(folder / "scores.parquet", index=False)
    pandas.DataFrame(samples).to_parquet(folder / "samples.parquet", index=False)
    chosen_on = {"prompts": 40, "shared": 0} if facts["stage"] == "prune" and facts["method"] != "reverse" else None
    (folder / "record.json").write_text(json.dumps({"model": name, "model_record": facts, "chosen_on": chosen_on}))


def write_study(root, settings=SETTINGS, skip=()):
    """The default study's models, but for the stages in ``skip``."""
    (root / "config.yaml").write_text(yaml.safe_dump({"name": "synthetic", "report": settings}))
    (root / "docs/pear").mkdir(parents=True)
    (root / "docs/pruning").mkdir()
    (root / "docs/pruning/speed.csv").write_text(SPEEDS)
    (root / "docs/pear/step_times.csv").write_text("nll_seconds,pear_seconds\n" + "1.0,1.01\n1.0,1.0\n1.0,1.02\n" * 10)
    write_model(root, "base-tiny", 0.5, 0.97, stage="base")
    for (stage, objective), seed in product(SKILL, (1, 2, 3)):
        if stage not in skip:
            skill = SKILL[stage, objective] + 0.01 * (seed - 2)
            facts = {"stage": stage, "objective": objective, "seed": seed, "arm": objective, "base": "base-tiny"}
            facts |= {"data": "teacher"} | ({"recipe": "grpo"} if stage == "rl" else {})
            facts |= course(stage, objective, seed)
            write_model(root, f"{START[stage]}-{objective}-{seed}", skill, 0.97, **facts)
    for layer in () if "prune" in skip else range(4):
        facts = {"stage": "prune", "of": "base-tiny", "method": "skip", "ratio": 0.125, "dropped": [layer]}
        write_model(root, f"prune-base-tiny-skip-{layer}", 0.05 if layer == 2 else 0.4, 0.9, **facts)
    for of, method, ratio in product(OF, ("reverse", "block-influence"), KEEPS):
        facts = {"of": of, "method": method, "ratio": ratio}
        before = 0.5 if of == "base-tiny" else 0.83
        for name, keeps in KEEPS[ratio].items():
            stage = "prune" if name == "none" else "recover"
            if stage in skip or (name != "none" and method == "reverse"):
                continue
            model = f"{stage}-{of}-{method}-{ratio}" + (f"-{name}-1" if stage == "recover" else "")
            own = facts if stage == "prune" else facts | {"author": name, "seed": 1}
            write_model(root, model, before * keeps, 0.97 * KEEPS_CHOICE[name], stage=stage, **own)
    return root


def course(stage, objective, seed):
    """What a record tells of training: the weights of PEAR, or the course of RL and how far it went."""
    if stage == "rl":
        moved = {"none": 0.05, "nll": 0.04}.get(objective, 0.03) + 0.001 * seed**2 * (objective == "pear-token")
        steps = [{"step": n, "reward": SKILL["rl", objective] * (1 - 0.7**n), "entropy": 1 / n} for n in range(1, 17)]
        steps = [
            step | {"kl": 1 - 1 / step["step"], "length": 20 + 10 * SKILL["sft", objective] + step["step"] / seed}
            for step in steps
        ]
        return {"recipe_hash": "a" * 64, "drift": {"relative": moved}, "curve": steps}
    if not objective.startswith("pear"):
        return {}
    pull = {"pear-sequence": 0.0, "pear-block": 0.6, "pear-token": 0.7}[objective]
    parts = {
        when: [None, *(float(np.exp(pull * (part - 9) - lag)) for part in range(1, 10))]
        for when, lag in (("early", 2.0), ("late", 1.0))
    }
    return {"learnt": {"weights": {when: {"mean": 0.1, "parts": values} for when, values in parts.items()}}}


def report(root):
    """Runs the stage as the workflow does, and returns its folder."""
    done = subprocess.run([sys.executable, "-m", "orchard.report"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root / "results/report"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def folder(study):
    return report(study)


@pytest.fixture(scope="module")
def judged(folder):
    return pandas.read_csv(folder / "claims.csv").set_index("id")


def evaluations_of(root):
    return rows.read(root / "results/evals")


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


def test_claims_table_has_every_claim_once_and_its_columns(folder):
    judged = pandas.read_csv(folder / "claims.csv")
    assert list(judged.columns) == COLUMNS
    headlines = [name for name in judged["id"] if "/" not in name]
    assert headlines == [f"P{number}" for number in range(1, 11)] + [f"L{number}" for number in range(1, 14)]


def test_planted_effects_are_found(judged):
    assert judged.loc["P2", "verdict"] == "reproduced"
    assert judged.loc["P2", "n"] == 3
    assert judged.loc["P2", "ours"] == pytest.approx(0.23, abs=0.03)
    for name in ("P1", "P5", "P10"):
        assert (judged.loc[name, "verdict"], judged.loc[name, "n"]) == ("reproduced", 3)
    assert judged.loc["P1", "ours"] == pytest.approx(0.28, abs=0.03)  # last-tokens: ahead by .28, then behind by .43
    assert judged.loc["P5", "ours"] == pytest.approx(0.16, abs=0.03)
    assert judged.loc["P8", "ours"] == pytest.approx(-0.01 + 0.001 * (1 + 4 + 9) / 3, abs=1e-6)
    assert judged.loc["P10", "ours"] == judged.loc["P10/nll-matched", "ours"] == pytest.approx(0.18, abs=0.03)
    assert judged.loc["L11/base-tiny/block-influence/0.25", "ours"] == pytest.approx(0.35 - 0.9, abs=0.06)
    assert judged.loc["L3/rl-grpo-pear-token/block-influence/0.25", "ours"] == pytest.approx(0.2 * 0.83, abs=0.04)
    assert judged.loc["L1", "ours"] == pytest.approx(0.97, abs=0.04)
    assert judged.loc["L9", "ours"] == pytest.approx(0.75 - 0.5, abs=0.08)
    assert (judged.loc["L5", "verdict"], judged.loc["L6", "verdict"]) == ("reproduced", "reproduced")
    assert judged.loc["L5", "ours"] == pytest.approx(0.1, abs=0.04)
    assert "prune-base-tiny-skip-2" in judged.loc["L5", "command"]


def test_an_estimate_is_the_paired_difference(study, judged):
    scores = evaluations_of(study).scores
    calc = scores[(scores["task"] == "calc") & (scores["metric"] == "pass@1")].groupby("model")["value"].mean()
    pear, nll = (np.mean([calc[f"rl-grpo-{arm}-{seed}"] for seed in (1, 2, 3)]) for arm in ("pear-token", "nll"))
    assert judged.loc["P2", "ours"] == pytest.approx(pear - nll, abs=1e-6)


def test_retention_is_the_ratio_of_the_means(study):
    scores = evaluations_of(study).scores.groupby(["model", "task", "metric"])["value"].mean()
    found = tables.retentions(evaluations_of(study), SETTINGS).set_index(
        ["of", "method", "ratio", "recovery", "family"]
    )["retention"]
    pruned, unpruned = (
        np.mean([scores[f"{stem}{of}{tail}", task, "acc"] for of in OF[1:] for task in ("fact", "cmp")])
        for stem, tail in (("prune-", "-reverse-0.25"), ("", ""))
    )
    assert found["rl-grpo-pear-token", "reverse", 0.25, "none", "classification"] == pytest.approx(pruned / unpruned)


def test_speed_up_is_that_of_the_phase_that_takes_the_time(folder):
    found = pandas.read_csv(folder / "speeds.csv").set_index(["family", "ratio"])["speed_up"]
    for (family, ratio), speed_up in {
        ("classification", 0.25): 2.0,
        ("classification", 0.375): 3.0,
        ("generation", 0.25): 1.2,
        ("generation", 0.375): 1.5,
    }.items():
        assert set(found.loc[family, ratio]) == {speed_up}


def test_page_says_how_many_selection_prompts_are_evaluated_on(folder):
    assert "block-influence 40, shared 0" in " ".join((folder / "index.html").read_text().split())


def test_equal_tokens_are_told_apart_from_equal_steps(tmp_path):
    root = write_study(tmp_path)
    for seed, (author, skill) in product((1, 2), {"open": 0.3, "self": 0.6}.items()):
        of = f"rl-grpo-pear-token-{seed}"
        facts = {"of": of, "method": "block-influence", "ratio": 0.25, "author": author, "seed": 1, "equal": "tokens"}
        write_model(root, f"recover-{of}-block-influence-0.25-{author}-tokens-1", skill, 0.9, stage="recover", **facts)
    judged = pandas.read_csv(report(root) / "claims.csv").set_index("id")
    setting = "L3/rl-grpo-pear-token/block-influence/0.25"
    assert judged.loc[f"{setting}/equal tokens", "ours"] == pytest.approx(0.3, abs=0.04)
    assert judged.loc["L3", "ours"] == judged.loc[setting, "ours"] == pytest.approx(0.2 * 0.83, abs=0.04)


def test_headline_is_block_influence_at_a_quarter_on_the_group_with_most_replicates(judged):
    numbers = ["ours", "low", "high", "n", "could_have_seen"]
    for name in ("L2", "L3", "L11"):
        assert list(judged.loc[name, numbers]) == list(
            judged.loc[f"{name}/rl-grpo-pear-token/block-influence/0.25", numbers]
        )
    assert judged.loc["L11", "n"] == 2


def test_one_seed_cannot_settle_a_training_claim(judged):
    assert judged.loc["L3/base-tiny/block-influence/0.25", "verdict"] == "inconclusive (one seed)"
    assert judged.loc["L11/base-tiny/block-influence/0.25", "verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("low", "high", "replicates", "training", "expected"),
    [
        (0.01, 0.05, 3, True, "reproduced"),
        (-0.05, -0.01, 3, True, "not reproduced"),
        (-0.01, 0.05, 3, True, "inconclusive"),
        (0.0, 0.05, 3, True, "inconclusive"),
        (0.01, 0.05, 1, True, "inconclusive (one seed)"),
        (-0.05, -0.01, 1, True, "inconclusive (one seed)"),
        (0.01, 0.05, 1, False, "reproduced"),
        (0.02, 0.02, 3, True, "inconclusive (no question tells the models apart)"),
        (float("nan"), float("nan"), 3, False, "inconclusive"),
    ],
)
def test_verdict(low, high, replicates, training, expected):
    claim = Claim("P0", "PEAR", "", "", direction="+", training=training)
    assert claims.verdict(claim, Interval((low + high) / 2, low, high, 0.1, replicates)) == expected
    mirrored = Claim("P0", "PEAR", "", "", direction="-", training=training)
    assert claims.verdict(mirrored, Interval(-(low + high) / 2, -high, -low, 0.1, replicates)) == expected


def test_a_study_without_an_arm_says_why_it_does_not_test(tmp_path):
    folder = report(write_study(tmp_path, SETTINGS | {"pear": None}, skip=("recover",)))
    judged = pandas.read_csv(folder / "claims.csv").set_index("id")
    assert judged.loc["P2", "verdict"] == "not tested (report.pear is null)"
    assert judged.loc["L3", "verdict"].startswith("not tested (no pruned model was recovered")
    assert judged.loc["L13", "verdict"] == "not tested (report.pruning.matched is empty)"
    assert judged.loc["P2", ["ours", "low", "high", "n", "could_have_seen", "command"]].isna().all()
    assert not judged.loc["L11", "verdict"].startswith("not tested")


def test_a_study_of_one_base_model_still_has_a_report(tmp_path):
    folder = report(write_study(tmp_path, skip=("sft", "rl", "prune", "recover")))
    judged = pandas.read_csv(folder / "claims.csv")
    assert judged["verdict"].str.startswith("not tested").all()
    assert not list(folder.glob("*.svg"))


def test_retention_at_chance_is_not_reported(tmp_path):
    root = write_study(tmp_path)
    shutil.rmtree(root / "results/evals/base-tiny")
    write_model(root, "base-tiny", 0.5, 1 / 3, stage="base")  # cmp has three choices: a guess; fact has six: above it
    evaluations = evaluations_of(root)
    assert evaluations.chance == {"calc": 0.0, "fact": pytest.approx(1 / 6), "cmp": pytest.approx(1 / 3)}
    assert retention.reported_tasks(evaluations, SETTINGS, "base-tiny", "classification") == ["fact"]
    assert "Retention of base-tiny on cmp is not reported" in (report(root) / "index.html").read_text()


def test_recovery_seeds_of_one_model_are_replicates_but_not_beside_another_model(tmp_path):
    root = write_study(tmp_path)
    for of in ("base-tiny", "rl-grpo-pear-token-1"):
        facts = {"of": of, "method": "block-influence", "ratio": 0.25, "author": "self", "seed": 2}
        write_model(root, f"recover-{of}-block-influence-0.25-self-2", 0.4, 0.9, stage="recover", **facts)
    evaluations = evaluations_of(root)
    of_base, of_rl = (
        retention.clusters(
            evaluations,
            retention.models_of(evaluations, retention.Cell(group, "block-influence", 0.25), "recover", "self"),
        )
        for group in ("base-tiny", "rl-grpo-pear-token")
    )
    assert [len(names) for names in of_base] == [1, 1]
    assert [len(names) for names in of_rl] == [2, 1]


def test_models_with_other_items_are_refused(tmp_path):
    root = write_study(tmp_path, skip=("rl", "prune", "recover"))
    path = root / "results/evals/sft-nll-1/scores.parquet"
    pandas.read_parquet(path).iloc[3:].to_parquet(path, index=False)
    done = subprocess.run([sys.executable, "-m", "orchard.report"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert "results/evals/sft-nll-1 has other items in task calc" in done.stderr
    assert "Traceback" not in done.stderr


def test_models_of_one_recipe_with_other_settings_are_refused(tmp_path):
    root = write_study(tmp_path, skip=("prune", "recover"))
    path = root / "results/evals/rl-grpo-pear-token-2/record.json"
    path.write_text(path.read_text().replace("a" * 64, "b" * 64))
    done = subprocess.run([sys.executable, "-m", "orchard.report"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert "rl-grpo-pear-token-2 went through other RL than rl-grpo-last-tokens-1, by one name: grpo" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_seed_gives_figures_and_no_verdict(tmp_path):
    root = write_study(tmp_path, skip=("prune", "recover"))
    for path in [*root.glob("results/evals/*-2"), *root.glob("results/evals/*-3")]:
        shutil.rmtree(path)
    folder = report(root)
    judged = pandas.read_csv(folder / "claims.csv").set_index("id")
    assert (judged.loc[["P1", "P2", "P5", "P8", "P10"], "verdict"] == "inconclusive (one seed)").all()
    assert judged.loc["P8", ["low", "high", "could_have_seen"]].isna().all()
    assert "P8_low" not in json.loads((folder / "metrics.json").read_text())
    assert (folder / "drift.png").is_file()


def test_the_page_names_the_recipes_settings(folder):
    assert "a" * 64 in (folder / "index.html").read_text()


def test_figures_of_the_way_there_are_means_over_seeds(folder):
    curves = pandas.read_csv(folder / "curves.csv").set_index(["objective", "step"])
    assert curves.loc[("nll", 2), "reward"] == pytest.approx(0.6 * (1 - 0.7**2))
    assert curves.loc[("nll", 6), "length"] == pytest.approx(20 + 3.8 + 6 * (1 + 1 / 2 + 1 / 3) / 3)
    weights = pandas.read_csv(folder / "weights.csv").set_index(["objective", "when", "tenth"])
    assert set(weights.index.get_level_values("objective")) == {"pear-token", "pear-sequence", "pear-block"}
    assert weights.loc[("pear-token", "late", 10), "weight"] == pytest.approx(np.exp(-1.0), abs=1e-6)
    drift = pandas.read_csv(folder / "drift.csv").set_index("objective")
    assert drift.loc["nll", ["drift", "low", "high"]].tolist() == pytest.approx([0.04] * 3)


def test_results_are_tidy(folder):
    results = pandas.read_parquet(folder / "results.parquet")
    assert not results.duplicated(["model", "task", "metric"]).any()
    row = results[
        (results["model"] == "recover-base-tiny-block-influence-0.25-self-1") & (results["metric"] == "pass@1")
    ].iloc[0]
    assert (row["of"], row["method"], row["ratio"], row["author"], row["seed"], row["items"]) == (
        "base-tiny", "block-influence", 0.25, "self", 1, 200
    )  # fmt: skip
    assert len(pandas.read_csv(folder / "results.csv")) == len(results)


def test_metrics_are_flat_numbers(folder, judged):
    metrics = json.loads((folder / "metrics.json").read_text())
    assert all(isinstance(value, float) for value in metrics.values())
    assert metrics["P2_ours"] == judged.loc["P2", "ours"]


class Cells(HTMLParser):
    """The text of the cells of the claims table, a list a row."""

    def __init__(self):
        super().__init__()
        self.rows, self.inside, self.cell = [], False, False

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self.inside = ("class", "claims") in attrs
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag == "td":
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        self.cell = self.cell and tag != "td"

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data


def test_numbers_of_the_page_are_those_of_the_file(folder):
    page = Cells()
    page.feed((folder / "index.html").read_text())
    shown = [row for row in page.rows if len(row) > 1]  # the others hold a claim's settings, folded
    judged = pandas.read_csv(folder / "claims.csv", dtype={"n": "Int64"})
    tested = judged[judged["ours"].notna()].to_dict("records")
    assert len(shown) == len(tested) > 10
    for cells, row in zip(shown, tested, strict=True):
        ours, n, verdict, _, seen = (text.strip() for text in cells[2:7])
        numbers = [
            float(part) for part in ours.replace("−", "-").replace("[", "").replace("]", "").replace(",", "").split()
        ]
        assert numbers == [round(100 * row[name] + 0.0, 1) for name in ("ours", "low", "high")]
        assert (int(n), " ".join(verdict.split())) == (row["n"], row["verdict"])
        size = row["could_have_seen"]
        assert seen == "–" if np.isnan(size) else float(seen) == round(100 * size, 1)


def test_page_shows_the_first_rows_of_a_claim_with_many():
    table = pandas.DataFrame({"id": ["P1", *(f"P1/a/{n}" for n in range(25))], "verdict": "inconclusive"})
    table = table.reindex(columns=COLUMNS)
    table[["ours", "low", "high", "could_have_seen"]], table["n"] = 0.0, 3
    text = page.html(study="", confidence=0.95, claims=page.claim_rows(table), figures={}, seeds={}, recipes={},
                     results={"columns": [], "models": [], "items": {}}, unreported=[], chosen_on=[], trails={},
                     wrong={}, twins=None)  # fmt: skip
    assert "a, 19</td>" in text
    assert "a, 20</td>" not in text
    assert "and 5 more in <code>claims.csv</code>" in text


def test_a_p_value_says_which_confidence_settles_a_claim(study):
    evaluations = evaluations_of(study)
    judged = claims.judge_all(evaluations, SETTINGS).set_index("id")
    own = judged[~judged.index.str.contains("/")]
    tested = own[~own["verdict"].str.startswith(claims.NOT_TESTED)]
    assert len(tested) > 8
    assert tested["p"].notna().all()
    assert judged["p"].count() == len(tested)
    for confidence in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
        again = claims.judge_all(evaluations, SETTINGS | {"confidence": confidence}).set_index("id")
        for name, p in tested["p"].items():
            if abs(p / (1 - confidence) - 1) > 0.02:  # p is told to two digits
                settled = again.loc[name, "verdict"] in (claims.REPRODUCED, claims.NOT_REPRODUCED)
                assert settled == (p < 1 - confidence), (name, confidence, p)


def test_a_claim_that_no_confidence_settles_has_p_1(study):
    evaluations = evaluations_of(study)
    claim = next(claim for claim in claims.load() if claim.id == "P2")
    same = SETTINGS | {"pear": SETTINGS["pear"] | {"treatment": SETTINGS["pear"]["baseline"]}}
    assert claims.judge(claim, evaluations, same)[0]["ours"] == 0
    assert claims.p_value(claim, evaluations, same) == 1


def test_p_values_are_corrected_for_their_number_as_holm_does():
    found = claims.holm(pandas.Series([0.01, 0.04, float("nan"), 0.03, 0.005, 0.9]))
    assert found.to_list() == pytest.approx([0.04, 0.09, float("nan"), 0.09, 0.025, 0.9], nan_ok=True)
    assert claims.holm(pandas.Series([0.4, 0.5, 0.9])).to_list() == pytest.approx([1.0, 1.0, 1.0])


def write_lock(root):
    """A dvc.lock with the stages behind the study's evaluations: data, a stage a model, its evaluation."""
    stages = {"generate@a": {"cmd": "g", "outs": [{"path": "data/a", "md5": "0" * 32}]}}
    for name in evaluations_of(root).facts:
        reads = ["data/a"] if name == "base-tiny" else ["data/a", "results/models/base-tiny"]
        for family, key, deps in (
            ("model", f"results/models/{name}", reads),
            ("evaluate", f"results/evals/{name}", []),
        ):
            deps = [{"path": path} for path in deps or [f"results/models/{name}"]]
            stages[f"{family}@{name}"] = {"cmd": family, "deps": deps, "outs": [{"path": key, "md5": "1" * 32}]}
    stages["generate@left"] = {"cmd": "g", "outs": [{"path": "data/of-another-study", "md5": "2" * 32}]}
    stages["evaluate@base-tiny"]["deps"].append({"path": "data"})
    for path in ("data/a", *(f"results/models/{name}" for name in evaluations_of(root).facts)):
        (root / path).mkdir(parents=True)
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def test_the_stages_are_drawn_from_the_trails(tmp_path):
    root = write_study(tmp_path, skip=("rl", "prune", "recover"))
    write_lock(root)
    folder = report(root)
    table = pandas.read_csv(folder / "stages.csv", keep_default_na=False).set_index("family")
    models = len(evaluations_of(root).facts)
    assert table["stages"].to_dict() == {"generate": 1, "model": models, "evaluate": models, "report": 1}
    assert table.loc["model", "reads_of"] == "generate"
    page = (folder / "index.html").read_text()
    assert "The stages behind this report" in page
    assert page.count("<b>model@sft-nll-1</b>") == 1


def test_a_claim_is_drawn_on_the_papers_side_of_its_threshold(folder, judged):
    drawn = pandas.read_csv(folder / "claims-at-a-glance.csv").set_index("claim")
    assert list(drawn.index) == [name for name in judged.index[judged["ours"].notna()] if "/" not in name]
    for name, sign, threshold in (("P2", 1, 0.0), ("L5", -1, 0.5), ("L1", 1, 0.8)):
        ends = sorted(100 * sign * (judged.loc[name, end] - threshold) for end in ("low", "high"))
        assert drawn.loc[name, ["low", "high"]].tolist() == pytest.approx(ends, abs=1e-3)
        assert drawn.loc[name, "verdict"] == judged.loc[name, "verdict"]
    clear = {"reproduced": drawn["low"] > 0, "not reproduced": drawn["high"] < 0}
    for verdict, holds in clear.items():
        assert holds[drawn["verdict"] == verdict].all()


def test_arrows_that_a_longer_way_has_are_left_out():
    trails = {
        "m": [
            {"stage": "generate@a", "after": []},
            {"stage": "base@b", "after": ["generate@a"]},
            {"stage": "prune@c", "after": ["generate@a", "base@b"]},
            {"stage": "evaluate@c", "after": ["generate@a", "prune@c"]},
        ]
    }
    table = graph.families(trails)
    assert table["family"].tolist() == ["generate", "base", "prune", "evaluate", "report"]
    assert table["reads_of"].tolist() == ["", "generate", "base, generate", "generate, prune", "evaluate"]
    ways = ["generate", "base", "prune", "evaluate", "report"]
    assert graph.direct(table) == list(pairwise(ways))


def test_families_that_read_from_one_another_are_drawn_too():
    chain = ["generate@a", "behave@a", "sft@a", "behave@b", "sft@b", "evaluate@b"]
    steps = [{"stage": name, "after": chain[max(place - 1, 0) : place]} for place, name in enumerate(chain)]
    table = graph.families({"m": steps})
    assert set(table["family"]) == {"generate", "behave", "sft", "evaluate", "report"}
    assert ("evaluate", "report") in graph.direct(table)
    figures.stages(table)


@pytest.mark.parametrize(("skill", "told"), [(0.6, False), (0.9, True)], ids=["alike", "not alike"])
def test_twins_are_compared_without_pairing_their_seeds(tmp_path, skill, told):
    settings = SETTINGS | {"pear": SETTINGS["pear"] | {"twins": {"one": "nll", "other": "nll-again"}}}
    root = write_study(tmp_path, settings, skip=("prune", "recover"))
    facts = {"objective": "nll-again", "arm": "nll-again", "base": "base-tiny", "data": "teacher", "recipe": "grpo"}
    for seed in (4, 5, 6):
        name = f"rl-grpo-nll-again-{seed}"
        write_model(root, name, skill, 0.97, stage="rl", seed=seed, **facts, **course("rl", "nll", 1))
    found = claims.twins(evaluations_of(root), settings)
    assert (found["told"], found["n"]) == (told, 3)
    assert found["ours"] == pytest.approx(skill - 0.6, abs=0.04)
    folder = report(root)
    assert json.loads((folder / "metrics.json").read_text())["twins_ours"] == pytest.approx(found["ours"], abs=1e-6)
    words = "a difference is told where there is none" if told else "no difference is told, as it should be"
    assert words in (folder / "index.html").read_text()


def test_kinds_of_error_are_shares_of_responses(folder):
    errors = pandas.read_csv(folder / "errors.csv", keep_default_na=False)
    kinds = ["right", "wrong answer"]
    assert errors[kinds].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert errors.loc[errors["task"] == "calc", "method"].iloc[0] == "none", "the unpruned models come first"
    results = pandas.read_csv(folder / "results.csv")
    scores = results[(results["metric"] == "pass@1") & (results["task"] == "calc")]
    for row in errors[(errors["task"] == "calc") & (errors["recovery"] == "self")].itertuples():
        same = scores[(scores["author"] == "self") & (scores["method"] == row.method)]
        same = same[(same["ratio"] == float(row.setting)) & same["of"].str.startswith(row.of)]
        assert len(same) == row.models
        assert row.right == pytest.approx(same["mean"].mean(), abs=1e-5)


def test_page_stands_alone_and_can_be_read_aloud(folder):
    text = (folder / "index.html").read_text()
    assert "<script" not in text
    assert "src=" not in text
    assert 'rel="stylesheet"' not in text
    assert text.count('role="img" aria-label="') == text.count("<svg") == 11
    assert "prefers-color-scheme: dark" in text
    identifiers = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(identifiers) == len(set(identifiers))
