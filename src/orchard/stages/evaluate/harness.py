"""The study's tasks as lm-eval runs them."""

import hashlib
from pathlib import Path

from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from orchard.errors import UserError, did_you_mean, refuse_none
from orchard.models import formats
from orchard.stages.evaluate import callbacks
from orchard.study.schema.evaluate import Evaluate, GenerationTask, NamedTask, Task

YAMLS = Path(__file__).parent / "tasks"


def task_manager(asked: Evaluate) -> TaskManager:
    """lm-eval's register of tasks; its own are read only if one is asked for, which takes 15 s.

    Raises:
        UserError: lm-eval knows no task of a name.
    """
    own = TaskManager(include_path=str(YAMLS), include_defaults=False)
    named = [task.task for task in asked.tasks.values() if isinstance(task, NamedTask)]
    known = own if all(name in own.all_tasks for name in named) else TaskManager(include_path=str(YAMLS))
    for name in named:
        if name not in known.all_tasks:
            raise UserError(
                found=f"evaluate.tasks: no task {name!r} in lm-eval or {YAMLS.name}/",
                rule="a task of kind lm-eval has a name that lm-eval knows",
                why="items, prompt and score are looked up by it",
                fix=did_you_mean(name, known.all_tasks, "`lm-eval ls tasks` prints all names"),
            )
    return known


def run(lm, manager: TaskManager, task: Task, asked: Evaluate) -> list[dict]:
    """lm-eval's per-item results of one task, in the order of the items. Every task starts from the model's seed.

    A row has as ``written`` the responses with their tokens, where the model wrote any.

    Raises:
        UserError: there is no item.
    """
    by_template = uses_template(lm, task)
    # As a member of a group, a task with overrides starts from its YAML. (simple_evaluate asks hub and pip on top.)
    result = evaluate(
        lm,
        manager.load({"group": "study", "task": [spec_of(task, asked, lm.tokenizer, by_template)]}),
        bootstrap_iters=0,
        limit=asked.limit if isinstance(task, NamedTask) else None,
        system_instruction=formats.of(lm.tokenizer).system if by_template else None,
        apply_chat_template=by_template,
        fewshot_as_multiturn=by_template,
    )
    rows = [
        row | {"of": name, "doc": callbacks.item_of(row["doc"]), "written": lm.written.get((name, row["doc_id"]), [])}
        for name, found in sorted(result["samples"].items())
        for row in found
    ]
    refuse_none(len(rows), f"evaluation task of kind {task.kind} has no item", "check its items and evaluate.limit")
    return sorted(rows, key=lambda row: (row["of"], row["doc_id"], row["filter"]))


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
            "limit": asked.limit,
            "shots": task.few_shot.count,
            "shots_path": task.few_shot.items,
            "by_template": by_template,
        },
    }
    return spec | (generation_options(task, tokenizer) if isinstance(task, GenerationTask) else {})


def generation_options(task: GenerationTask, tokenizer) -> dict:
    """Everything that generation depends on, spelled out."""
    sampling = {"do_sample": True, "temperature": task.temperature, "top_k": 0, "top_p": 1.0}
    return {
        "repeats": task.samples,
        "filter_list": [{"name": "samples", "filter": [{"function": "take_first_k", "k": task.samples}]}],
        "generation_kwargs": {
            "until": [tokenizer.eos_token, *task.stop],
            "max_gen_toks": task.max_new_tokens,
            **(sampling if task.temperature > 0 else {"do_sample": False}),
        },
    }


def uses_template(lm, task: Task) -> bool:
    """Whether a task is asked by the chat template of the model's format; sentences of a pair nobody asks for."""
    return formats.is_chat(lm.tokenizer) and not task.plain and task.kind != "minimal-pair"


def identity(rows: list[dict]) -> dict:
    """What identifies a task's content: the number of its items, and a hash of all items, prompts and targets."""
    parts = [row[f"{part}_hash"] for row in rows for part in ("doc", "prompt", "target")]
    return {"items": len(rows), "hash": hashlib.sha256("".join(parts).encode()).hexdigest()}
