"""Evaluates one model on the study's tasks with lm-eval, keeping each item's score and each sample.

python -m orchard.evaluate MODEL
"""

import difflib
import hashlib
import importlib.util
import json
import logging
import sys
from pathlib import Path

from orchard import stage
from orchard.errors import UserError
from orchard.evaluate import responses
from orchard.prune import chosen

YAMLS = Path(__file__).parent / "tasks"
WRITTEN = ("generation", "summary")  # kinds of tasks whose answer the model writes


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("evaluate")
    stage.set_threads(1)
    import pandas

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    folder = Path("results/models", name)
    lm, manager = backend(folder, settings), task_manager(settings)
    progress = stage.Progress(f"evaluate@{name}", len(settings["tasks"]))
    scores, samples, tasks = [], [], {}
    for task, options in settings["tasks"].items():
        rows = run_task(lm, manager, options, settings)
        tasks[task] = identity(rows)
        for row in rows:
            errors = errors_of(options, row, lm)
            scores += item_scores(task, options, row, errors, lm)
            samples.append(sample_row(task, row, errors))
        progress.step()
    with stage.output(f"results/evals/{name}") as scratch:
        scratch.mkdir()
        pandas.DataFrame(scores).to_parquet(scratch / "scores.parquet", index=False)
        pandas.DataFrame(samples).to_parquet(scratch / "samples.parquet", index=False)
        facts = {"model": name, "model_record": json.loads((folder / "record.json").read_text()), "tasks": tasks}
        facts["chosen_on"] = chosen.overlap(folder, all_items(settings))
        facts["chat_template"] = template_hash(lm, settings)
        stage.write_record(scratch, "evaluate", settings, [str(folder), *data_files(settings)], **facts)


def backend(folder: Path, settings: dict):
    """The model as lm-eval sees it, loaded once for all tasks.

    Raises:
        UserError: vLLM is asked for and not installed.
    """
    from orchard import models

    if settings["backend"] == "hf":
        from orchard.evaluate.lm import StrictLM

        return StrictLM(models.load_model(folder), models.load_tokenizer(folder), settings["batch_size"])
    if not importlib.util.find_spec("vllm"):
        raise UserError(
            "evaluate.backend: vllm, which is not installed",
            "vLLM runs where it is installed, on a GPU",
            "it is no part of requirements.lock, as most machines cannot run it",
            "`pip install vllm`, or set backend: hf",
        )
    from lm_eval.models.vllm_causallms import VLLM

    return VLLM(str(folder), dtype="float32", batch_size=settings["batch_size"], seed=settings["seed"])


def task_manager(settings: dict):
    """lm-eval's register of tasks; its own are read only if one is asked for, which takes 15 s."""
    from lm_eval.tasks import TaskManager

    own = TaskManager(include_path=str(YAMLS), include_defaults=False)
    named = [options["task"] for options in settings["tasks"].values() if options["kind"] == "lm-eval"]
    known = own if all(name in own.all_tasks for name in named) else TaskManager(include_path=str(YAMLS))
    for name in named:
        if name not in known.all_tasks:
            near = difflib.get_close_matches(name, known.all_tasks, 3)
            raise UserError(
                f"evaluate.tasks: no task {name!r} in lm-eval or {YAMLS.name}/",
                "a task of kind lm-eval has a name that lm-eval knows",
                "items, prompt and score are looked up by it",
                f"did you mean {' or '.join(near)}?" if near else "`lm-eval ls tasks` prints all names",
            )
    return known


def data_files(settings: dict) -> list[str]:
    """The files of items and of few-shot examples that the tasks read."""
    own = [task for task in settings["tasks"].values() if task["kind"] != "lm-eval"]
    files = {file for task in own for file in (task["items"], task["few_shot"]["items"])}
    return sorted(files - {None})


def all_items(settings: dict) -> list[dict]:
    """The items of all tasks whose items are files of the study."""
    own = [task for task in settings["tasks"].values() if task["kind"] != "lm-eval"]
    return [item for task in own for item in stage.read_jsonl(task["items"])[: settings["limit"]]]


def run_task(lm, manager, options: dict, settings: dict) -> list[dict]:
    """lm-eval's per-item results of one task, in the order of the items. Every task starts from the same seed."""
    import torch
    from lm_eval.evaluator import evaluate

    torch.manual_seed(settings["seed"])
    # As a member of a group, a task with overrides starts from its YAML. (simple_evaluate asks hub and pip on top.)
    result = evaluate(
        lm,
        manager.load({"group": "study", "task": [task_spec(options, settings, lm.tokenizer)]}),
        bootstrap_iters=0,
        limit=settings["limit"] if options["kind"] == "lm-eval" else None,
        apply_chat_template=uses_template(lm, settings),
    )
    rows = [row | {"of": name} for name, found in sorted(result["samples"].items()) for row in found]
    return sorted(rows, key=lambda row: (row["of"], row["doc_id"], row["filter"]))


def task_spec(options: dict, settings: dict, tokenizer) -> dict:
    """A task as lm-eval is told of it."""
    if options["kind"] == "lm-eval":
        shots = {} if options["few_shot"] is None else {"num_fewshot": options["few_shot"]}
        return {"task": options["task"], **shots}
    shots = options["few_shot"]
    spec = {
        "task": f"orchard-{options['kind']}",
        "num_fewshot": shots["count"],
        "dataset_kwargs": {
            "items_path": options["items"],
            "limit": settings["limit"],
            "shots": shots["count"],
            "shots_path": shots["items"],
            "unsafe_programs": settings["unsafe_programs"],
        },
    }
    return spec | (generation_options(options, tokenizer) if options["kind"] in WRITTEN else {})


def uses_template(lm, settings: dict) -> bool:
    """Whether prompts are put into a chat template: where the config wants it and the model has one."""
    return settings["chat_template"] and lm.tokenizer.chat_template is not None


def template_hash(lm, settings: dict) -> str | None:
    """The SHA-256 of the chat template, if it is used."""
    if not uses_template(lm, settings):
        return None
    return hashlib.sha256(lm.tokenizer.chat_template.encode()).hexdigest()


def identity(rows: list[dict]) -> dict:
    """What tells a task's contents: the number of its items, and a hash of all items, prompts and targets."""
    parts = [row[f"{part}_hash"] for row in rows for part in ("doc", "prompt", "target")]
    return {"items": len(rows), "hash": hashlib.sha256("".join(parts).encode()).hexdigest()}


def generation_options(options: dict, tokenizer) -> dict:
    """Everything that generation depends on, spelled out."""
    sampling = {"do_sample": True, "temperature": options["temperature"], "top_k": 0, "top_p": 1.0}
    return {
        "repeats": options["samples"],
        "filter_list": [{"name": "samples", "filter": [{"function": "take_first_k", "k": options["samples"]}]}],
        "generation_kwargs": {
            "until": [tokenizer.eos_token, *options["stop"]],
            "max_gen_toks": options["max_new_tokens"],
            **(sampling if options["temperature"] > 0 else {"do_sample": False}),
        },
    }


def errors_of(options: dict, row: dict, lm) -> list[str | None]:
    """What is wrong with each response of an item that a verifier checks; empty for the other kinds of tasks."""
    if options["kind"] != "generation":
        return []
    texts, tokens = written(row, lm.tokenizer)
    ended = [len(ids) < options["max_new_tokens"] for ids in tokens]
    return [responses.error(row["doc"], text, end) for text, end in zip(texts, ended, strict=True)]


def item_scores(task: str, options: dict, row: dict, errors: list[str | None], lm) -> list[dict]:
    """One row for each metric of an item: task, kind, item, metric, value; the metrics in order of name."""
    kind, suffix = options["kind"], "" if row["filter"] in ("none", "samples") else f", {row['filter']}"
    values = {f"{metric}{suffix}": float(row[metric]) for metric in row["metrics"]}
    if kind == "likelihood":
        prompt, answer = row["arguments"][0]
        tokens = len(lm.tok_encode(prompt + answer)) - len(lm.tok_encode(prompt))  # as lm-eval parts them
        values = {"nats": -values["log_likelihood"] / tokens}
    if kind == "generation":
        values |= responses.describe(row["doc"], *written(row, lm.tokenizer), errors)
    return [
        {"task": task, "kind": kind, "item": item_id(row), "metric": metric, "value": value}
        for metric, value in sorted(values.items())
    ]


def item_id(row: dict) -> str:
    """An item's own id, or for items of lm-eval's tasks the task and the number."""
    return row["doc"]["id"] if row["of"].startswith("orchard-") else f"{row['of']}-{row['doc_id']:05d}"


def written(row: dict, tokenizer) -> tuple[list[str], list[list[int]]]:
    """The responses to an item and their tokens.

    lm-eval keeps the text alone, so the tokens are those of the text cut anew, without the one that ended it and other
    special tokens. A response that fills max_new_tokens came to no end.
    """
    (texts,) = row["resps"]
    return list(texts), [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def sample_row(task: str, row: dict, errors: list[str | None]) -> dict:
    """What the model was asked and what it said: responses and what is wrong with each (null: it is right), or the
    log-likelihood of each choice and no errors."""
    return {
        "task": task,
        "item": item_id(row),
        "filter": row["filter"],
        "prompt": str(row["arguments"][0][0]),
        "target": str(row["target"]),
        "responses": json.dumps([list(response) for response in row["resps"]]),
        "errors": json.dumps(errors),
    }


if __name__ == "__main__":
    stage.run(main)
