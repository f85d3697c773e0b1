"""What is evaluated: a model of the study, whole or without one layer, as lm-eval sees it and as the record has it."""

import contextlib
import importlib.util
from collections.abc import Iterator

from orchard import paths
from orchard.errors import UserError
from orchard.models import chosen_on, folders, record, surgery, whole
from orchard.stages.evaluate.lm import StrictLM
from orchard.study.schema.evaluate import Evaluate, EvaluateRun
from orchard.study.schema.prune import ONE_LAYER


@contextlib.contextmanager
def loaded(run: EvaluateRun, asked: Evaluate) -> Iterator:
    """The model as lm-eval sees it, loaded once for all tasks. A layer is left out for the time of the block.

    Raises:
        UserError: vLLM is asked for and not installed, or the model's layers cannot be dropped.
    """
    folder = paths.model(run.model)
    if asked.backend == "vllm":
        with in_vllm(run, asked) as lm:
            yield lm
        return
    model, tokenizer = folders.load_frozen(folder), folders.load_tokenizer(folder)
    if run.layer is None:
        yield StrictLM(model, tokenizer, asked.batch_size)
        return
    surgery.check(model)
    with surgery.without(model, [run.layer]) as view:
        yield StrictLM(view, tokenizer, asked.batch_size)


@contextlib.contextmanager
def in_vllm(run: EvaluateRun, asked: Evaluate) -> Iterator:
    """The model as vLLM runs it, which reads a folder: of an adapter or a view one is written for the time being."""
    if not importlib.util.find_spec("vllm"):
        raise UserError(
            found="evaluate.backend: vllm, which is not installed",
            rule="vLLM runs where it is installed, on a GPU",
            why="it is no part of requirements.lock, as most machines cannot run it",
            fix="`pip install vllm`, or set backend: hf",
        )
    from orchard.stages.evaluate.vllm import StrictVLLM

    with whole.written(paths.model(run.model), [] if run.layer is None else [run.layer]) as folder:
        yield StrictVLLM(folder, asked.batch_size, asked.seed)


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
