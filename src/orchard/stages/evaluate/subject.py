"""What is evaluated: a model of the study, whole or without one layer, as lm-eval sees it and as the record has it."""

import contextlib
from collections.abc import Iterator

from orchard import paths
from orchard.engines.opening import opened
from orchard.models import chosen_on, folders, record
from orchard.stages.evaluate.lm import StrictLM
from orchard.study.schema.evaluate import Evaluate, EvaluateRun
from orchard.study.schema.prune import ONE_LAYER


@contextlib.contextmanager
def loaded(name: str, run: EvaluateRun, asked: Evaluate) -> Iterator[StrictLM]:
    """The model as lm-eval sees it, loaded once for all tasks. A layer is left out for the time of the block.

    Raises:
        UserError: its engine is not installed, or the model's layers cannot be dropped.
    """
    dropped = [] if run.layer is None else [run.layer]
    with opened(asked.engine, paths.model(run.model), f"evaluate@{name}", dropped) as engine:
        yield StrictLM(engine, asked.batch_size, asked.seed)


def record_of(run: EvaluateRun) -> dict:
    """The record of what is evaluated; of a model without a layer, what the stage prune would say of it."""
    own = record.read(paths.model(run.model))
    if run.layer is None:
        return own
    layers = folders.depth(paths.model(run.model))
    kept = ("base", "seed", "license", "arithmetic", "versions", "dtype")
    return {key: own[key] for key in kept} | {
        "stage": "prune",
        "of": run.model,
        "method": ONE_LAYER,
        "ratio": 1 / layers,
        "dropped": [run.layer],
        "block_influence": None,
        "bare_answers": None,
        "history": [*own["history"], f"layer {run.layer} of {layers} left out while it was evaluated"],
    }


def overlap(run: EvaluateRun, rows: list[dict]) -> dict[str, int] | None:
    """Of how many prompts that layers were chosen on items are evaluated; a single layer was chosen on none."""
    if run.layer is not None:
        return {"prompts": 0, "shared": 0}
    return chosen_on.overlap(paths.model(run.model), rows)
