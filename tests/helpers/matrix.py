"""Which edit makes which stages of the smoke study stale."""

from tests.helpers.project import Project


def stages(project: Project, *prefixes: str) -> set[str]:
    """The stages whose name begins so."""
    return {name for name in project.lock() if name.startswith(prefixes)}


# An edited key of the config with its new value, and how the names of the stages begin that are stale then.
CONFIG_EDITS = {
    "name": ("other", ("report",)),
    "data.generate.rl.seed": (99, ("generate@rl",)),
    "base.tiny.steps": (61, ("base@tiny",)),
    "behave.teacher.foreign_words": (5, ("behave@teacher",)),
    "sft.trainer.batch_size": (16, ("sft@",)),
    "sft.objectives.pear-token.learning_rate": (5.0e-4, ("sft@pear-token",)),
    "sft.objectives.pear-token.weights.gamma": (0.99, ("sft@pear-token",)),
    "sft.objectives.nll.loss": ("dft", ("sft@nll",)),
    "sft.trainer.gradient_checkpointing": (True, ("sft@",)),
    "rl.recipes.grpo.learning_rate": (1.0e-4, ("rl@",)),
    "prune.calibration.batch_size": (8, ("prune@",)),
    "prune.selection.batch_size": (8, ("search@",)),
    "recover.trainer.learning_rate": (2.0e-3, ("recover@",)),
    "recover.budgets.steps.amount.epochs": (
        3,
        ("recover@rl-grpo-pear-token-1-block-influence-0.25-self-steps",),
    ),
    "recover.responses.mixed.seed": (43, ("mix@",)),
    "recover.responses.self.temperature": (
        0.8,
        ("respond@rl-grpo-pear-token-1-self", "sample@respond-rl-grpo-pear-token-1-self"),
    ),
    "recover.responses.self.keep_cut": (False, ("respond@rl-grpo-pear-token-1-self",)),
    "evaluate.limit": (10, ("evaluate@",)),
    "report.confidence": (0.9, ("report",)),
    "artifacts.rl": ("rl-grpo-nll-1", ("artifact@rl",)),
    "loading.memory": (0.5, ("sample@", "behave@", "search@", "prune@", "respond@", "evaluate@")),
    "loading.attention": (
        "eager",
        tuple("sample@ behave@ sft@ rl@ search@ prune@ respond@ recover@ evaluate@".split()),
    ),
    "parallel": ("fsdp", ()),
    "arithmetic": (
        "fast",
        tuple("base@ sample@ behave@ sft@ rl@ search@ prune@ respond@ recover@ evaluate@ artifact@ report".split()),
    ),
}

# A file with a new comment, and how the names of the stages begin that are stale then.
CODE_EDITS = {
    "sandbox/seccomp.py": (),
    "sandbox/timeout.py": ("generate@",),  # the games' scorers use it
    "tasks/mathematics.py": (),
    "tasks/words.py": ("generate@",),
    "tasks/lexicon.py": ("generate@", "base@"),
    "tasks/registry.py": ("generate@", "sample@", "behave@", "rl@", "search@", "prune@", "respond@", "evaluate@"),
    "study/checks.py": (),
    "study/schema/rl.py": ("rl@",),
    "study/schema/report.py": ("report",),
    "models/surgery.py": ("sample@", "behave@", "search@", "prune@", "respond@", "evaluate@", "artifact@"),
    "models/prompts.py": tuple(
        "base@ sample@ behave@ sft@ rl@ search@ prune@ respond@ recover@ evaluate@ artifact@".split()
    ),
    "rerun/start.py": (),
    "lineage/lock.py": ("report",),
    "stages/evaluate/tasks/choice.yaml": ("evaluate@",),
}
