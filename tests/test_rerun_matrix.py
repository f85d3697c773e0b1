"""This edit of the config → exactly these stages are stale (DVC's own word, before anything behind them is known)."""

import json

import pytest
import yaml


def stages(project, *prefixes: str) -> set[str]:
    return {name for name in project.lock() if name.startswith(prefixes)}


MATRIX = {
    "name": ("other", ("report",)),
    "data.generate.rl.seed": (99, ("generate@rl",)),
    "base.tiny.steps": (61, ("base@tiny",)),
    "behave.teacher.foreign_words": (5, ("behave@teacher",)),
    "sft.trainer.batch_size": (16, ("sft@",)),
    "sft.objectives.pear-token.learning_rate": (5.0e-4, ("sft@pear-token-1",)),
    "sft.objectives.pear-token.weights.gamma": (0.99, ("sft@pear-token-1",)),
    "sft.objectives.nll.loss": ("dft", ("sft@nll-1",)),
    "sft.trainer.gradient_checkpointing": (True, ("sft@",)),
    "rl.recipes.grpo.learning_rate": (1.0e-4, ("rl@",)),
    "prune.calibration.batch_size": (8, ("prune@",)),
    "prune.selection.batch_size": (8, ("search@",)),
    "recover.trainer.learning_rate": (2.0e-3, ("recover@",)),
    "recover.budgets.steps.epochs": (
        3,
        tuple(f"recover@rl-grpo-pear-token-1-block-influence-0.25-{author}-steps" for author in ("open", "self")),
    ),
    "recover.mixed.seed": (43, ("mix@",)),
    "recover.self.temperature": (0.8, ("respond@rl-grpo-pear-token-1-self",)),
    "evaluate.limit": (10, ("evaluate@",)),
    "report.confidence": (0.9, ("report",)),
    "artifacts.rl": ("rl-grpo-nll-1", ("artifact@rl",)),
    "parallel": ("fsdp", ()),
}


@pytest.mark.parametrize("key", MATRIX)
def test_an_edit_makes_exactly_its_stages_stale(pulled, key):
    value, prefixes = MATRIX[key]
    pulled.set(key, value)
    try:
        status = pulled.run("dvc", "status", "--json").stdout
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml")
    assert set(json.loads(status)) == stages(pulled, *prefixes)


def test_every_top_level_key_has_a_row(pulled):
    tree = yaml.safe_load((pulled.folder / "config.yaml").read_text())
    assert {key.split(".")[0] for key in MATRIX} == set(tree)
