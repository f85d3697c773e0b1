"""Retention, replicates and reported tasks of pruned models."""

import shutil

import numpy as np
import pytest

from orchard.report.figures import pruning
from orchard.report.pruned_study import Setting
from tests.helpers.planted import OF, chain, report, studies_of, write_model, write_study


def test_retention_is_the_ratio_of_the_means(study):
    _, pruned_study = studies_of(study)
    scores = pruned_study.evaluations.scores.groupby(["model", "task", "metric"])["value"].mean()
    keys = ["of", "method", "ratio", "recovery", "family"]
    found = pruning.retention_table(pruned_study).set_index(keys)["retention"]
    pruned, unpruned = (
        np.mean([scores[f"{stem}{of}{tail}", task, "acc"] for of in OF[1:] for task in ("fact", "cmp")])
        for stem, tail in (("prune-", "-reverse-0.25"), ("", ""))
    )
    assert found["rl-grpo-pear-token", "reverse", 0.25, "none", "classification"] == pytest.approx(pruned / unpruned)


def test_retention_at_chance_is_not_reported(tmp_path):
    root = write_study(tmp_path)
    shutil.rmtree(root / "results/evals/base-tiny-1")
    write_model(
        root, "base-tiny-1", 0.5, 1 / 3, stage="base", **chain(1)
    )  # cmp has three choices: a guess; fact has six: above it
    _, study = studies_of(root)
    chance_level = {"calc": 0.0, "fact": pytest.approx(1 / 6), "cmp": pytest.approx(1 / 3)}
    assert study.evaluations.chance_level == chance_level
    assert study.reported_tasks("base-tiny", "classification") == ("fact",)
    assert ("base-tiny", "cmp") in study.unreported()
    assert "Retention of base-tiny on cmp is not reported" in (report(root) / "index.html").read_text()


def test_draws_of_one_model_are_replicates_but_not_beside_another_chain(tmp_path):
    root = write_study(tmp_path)
    for of in ("base-tiny-1", "rl-grpo-pear-token-1"):
        facts = {"of": of, "method": "block-influence", "ratio": 0.25, "author": "self", "draw": 2, **chain(1)}
        write_model(root, f"recover-{of}-block-influence-0.25-self-2", 0.4, 0.9, stage="recover", **facts)
    _, study = studies_of(root)
    of_base, of_rl = (
        study.evaluations.by_replicate(study.cell("self", Setting(group, "block-influence", 0.25)).models)
        for group in ("base-tiny", "rl-grpo-pear-token")
    )
    assert [len(places) for places in of_base] == [1, 1]
    assert [len(places) for places in of_rl] == [2, 1]
