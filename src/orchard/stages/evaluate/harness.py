"""The study's tasks as lm-eval runs them."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from lm_eval.api.metrics import mean
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from orchard.errors import UserError, refuse_none
from orchard.models import formats
from orchard.stages import lm_tasks
from orchard.stages.evaluate import callbacks
from orchard.study.schema.evaluate import OWN, Evaluate, GenerationTask, NamedTask, Task

Tasks = dict[str, Any]  # what lm-eval scores, with its items


class Metrics(NamedTuple):
    """What is told of the metrics of a task of lm-eval's own.

    Attributes:
        metrics: those that are a mean over items, so that each item has a number.
        left_out: others, which are worked out of all items at once.
        less_is_better: those of ``metrics`` of which less is better.
    """

    metrics: list[str]
    left_out: list[str]
    less_is_better: list[str]


def task_manager(asked: Evaluate) -> TaskManager:
    """lm-eval's register of tasks, which knows all that are asked for.

    Raises:
        UserError: lm-eval knows no task of a name.
    """
    named = [task.task for task in asked.tasks.values() if isinstance(task, NamedTask)]
    return lm_tasks.manager(named, "evaluate.tasks")


def load(manager: TaskManager, task: Task, asked: Evaluate, tokenizer) -> Tasks:
    """A task with its items; lm-eval asks nobody for them.

    Raises:
        UserError: lm-eval cannot load it, or no metric of it is a mean over items.
    """
    spec = spec_of(task, asked, tokenizer, uses_template(tokenizer, task))
    # As a member of a group, a task with overrides starts from its YAML. (simple_evaluate asks hub and pip on top.)
    group = {"group": "study", "task": [spec]}
    if not isinstance(task, NamedTask):
        return manager.load(group)
    folder = None if task.data in (None, OWN) else Path(task.data)
    with lm_tasks.reading(folder), lm_tasks.failing(task.task):
        found = manager.load(group)
    refuse_no_mean(found, task.task)
    return found


def metrics_of(loaded: Tasks) -> Metrics:
    """The metrics of a task; some are known only when it was scored."""
    means, others, less = set(), set(), set()
    for leaf in loaded["tasks"].values():
        for metric, aggregation in leaf.aggregation().items():
            (means if aggregation is mean else others).add(metric)
            less |= set() if leaf.higher_is_better().get(metric, True) else {metric}
    return Metrics(*map(sorted, (means, others - means, less & means)))


def refuse_no_mean(loaded: Tasks, name: str) -> None:
    """Raises a UserError if no metric of a task is a mean over items."""
    found = metrics_of(loaded)
    if not found.metrics:
        raise UserError(
            found=f"lm-eval's task {name} has no metric but {', '.join(found.left_out)}",
            rule="a task has a metric that is a mean over items",
            why="models are compared item by item, and this is one number for all of them",
            fix="leave it out of evaluate.tasks, or name another task on the same data",
        )


def run(lm, manager: TaskManager, task: Task, asked: Evaluate) -> list[dict]:
    """lm-eval's per-item results of one task, which is loaded for it: see `scored`."""
    return scored(lm, load(manager, task, asked, lm.tokenizer), task, asked)


def scored(lm, loaded: Tasks, task: Task, asked: Evaluate) -> list[dict]:
    """lm-eval's per-item results of one task, in the order of the items. Every task starts from the model's seed.

    A row has as ``written`` the responses with their tokens, where the model wrote any. An item has a row for each way
    (filter) in which its responses are read, and ``is_first`` says which of them is the first.

    Raises:
        UserError: there is no item.
    """
    by_template = uses_template(lm.tokenizer, task)
    result = evaluate(
        lm,
        loaded,
        bootstrap_iters=0,
        limit=asked.limit_of(task) if isinstance(task, NamedTask) else None,
        system_instruction=formats.of(lm.tokenizer).system if by_template else None,
        apply_chat_template=by_template,
        fewshot_as_multiturn=by_template,
    )
    rows = [
        row | {"of": name, "doc": callbacks.item_of(row["doc"]), "written": lm.written.get((name, row["doc_id"]), [])}
        for name, found in sorted(result["samples"].items())
        for row in found
    ]
    if isinstance(task, NamedTask):
        left_out = metrics_of(loaded).left_out
        rows = [row | {"metrics": [each for each in row["metrics"] if each not in left_out]} for row in rows]
    refuse_none(len(rows), f"evaluation task of kind {task.kind} has no item", "check its items and its limit")
    rows.sort(key=lambda row: (row["of"], row["doc_id"], row["filter"]))
    items = [(row["of"], row["doc_id"]) for row in rows]
    return [row | {"is_first": item != last} for row, item, last in zip(rows, items, [None, *items], strict=False)]


def spec_of(task: Task, asked: Evaluate, tokenizer, by_template: bool = False) -> dict:
    """A task in lm-eval's form."""
    if isinstance(task, NamedTask):
        shots = {} if task.few_shot is None else {"num_fewshot": task.few_shot}
        return {"task": task.task, **shots}
    spec = {
        "task": f"orchard-{task.kind}",
        "num_fewshot": task.few_shot.count,
        "dataset_kwargs": {
            "kind": task.kind,
            "items_path": task.items,
            "limit": asked.limit_of(task),
            "shots": task.few_shot.count,
            "shots_path": task.few_shot.items,
            "by_template": by_template,
        },
    }
    return spec | (generation_options(task, tokenizer) if isinstance(task, GenerationTask) else {})


def generation_options(task: GenerationTask, tokenizer) -> dict:
    """Everything that generation depends on, spelled out."""
    sampling = {"do_sample": True, "temperature": task.temperature, "top_k": task.top_k, "top_p": task.top_p}
    return {
        "repeats": task.samples,
        "filter_list": [{"name": "samples", "filter": [{"function": "take_first_k", "k": task.samples}]}],
        "generation_kwargs": {
            "until": [tokenizer.eos_token, *task.stop],
            "max_gen_toks": task.max_new_tokens,
            **(sampling if task.temperature > 0 else {"do_sample": False}),
        },
    }


def uses_template(tokenizer, task: Task) -> bool:
    """Whether a task is asked by the chat template of the model's format; sentences of a pair nobody asks for."""
    return formats.is_chat(tokenizer) and not task.plain and task.kind != "minimal-pair"


def identity(rows: list[dict]) -> dict:
    """What identifies a task's content: the number of its items, and a hash of all items, prompts and targets."""
    parts = [row[f"{part}_hash"] for row in rows for part in ("doc", "prompt", "target")]
    return {"items": len(rows), "hash": hashlib.sha256("".join(parts).encode()).hexdigest()}
