"""Which models are asked which tasks: the stages that follow from the suites of an evaluation.

A model on a suite is one stage, so an edit of a suite concerns its own stages alone. Where a study names no suite, each
model is asked all tasks in one stage.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchard import paths
from orchard.study.schema.evaluate import EVERYTHING, Evaluate, EvaluateRun

KINDS = ("base", "sft", "rl", "prune", "recover")  # what the names of models begin with
SKIP, ALL = "skip", "all"  # words of a suite for models: those without one layer, and every one
Subjects = dict[str, EvaluateRun]  # what is evaluated, by name: models, and models without one layer


def expand(block: Evaluate, subjects: Subjects, replicates: Mapping[str, list[str]]) -> dict[str, EvaluateRun]:
    """The runs of evaluation: each subject on each of its suites.

    Args:
        block: what is asked.
        subjects: all that is evaluated.
        replicates: the models that a name without a seed stands for.
    """
    if block.suites is None:
        return {name: _placed(run, paths.evaluation(name)) for name, run in subjects.items()}
    named = known(subjects, replicates)
    return {
        f"{name}.{suite}": _placed(subjects[name], paths.evaluation(name, suite), suite)
        for suite, own in block.suites.items()
        for name in chosen(own.of, named)
    }


def _placed(run: EvaluateRun, folder: Path, suite: str = EVERYTHING) -> EvaluateRun:
    """A run with its suite, and the folder of its scores from that of all evaluations."""
    return run.model_copy(update={"suite": suite, "folder": folder.relative_to(paths.EVALUATIONS).as_posix()})


def scores_of(block: Evaluate, model: str) -> str:
    """The folder of all that a model scored, from that of all evaluations."""
    return paths.evaluation(model).name if block.suites is None else paths.evaluation(model, EVERYTHING).parent.name


def known(subjects: Subjects, replicates: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What a suite can be of: each word for models, with those that it stands for."""
    found = {ALL: list(subjects)} | {kind: [] for kind in (*KINDS, SKIP)}
    for name, run in subjects.items():
        found[name.partition("-")[0] if run.layer is None else SKIP].append(name)
    return found | dict(replicates) | {name: [name] for name in subjects}


def chosen(words: Iterable[str], named: Mapping[str, list[str]]) -> list[str]:
    """The subjects that some words stand for, each once."""
    return list(dict.fromkeys(name for word in words for name in named.get(word, [])))


def asked(block: Evaluate, subjects: Subjects, replicates: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The tasks that each subject is asked, one after the other; one that two of its suites have stands twice."""
    found: dict[str, list[str]] = {name: [] for name in subjects}
    named = known(subjects, replicates)
    for own in (block.suites or {}).values():
        for name in chosen(own.of, named):
            found[name] += own.tasks
    return found


def settings(block: Evaluate) -> Iterator[tuple[str, Evaluate]]:
    """Each suite by name, as its stages ask it: what they depend on."""
    for name in [EVERYTHING] if block.suites is None else block.suites:
        yield name, block.suite(name)
