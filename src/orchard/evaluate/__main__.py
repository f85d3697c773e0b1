"""Evaluates one model on the study's tasks with lm-eval, keeping each item's score and each sample.

python -m orchard.evaluate MODEL
"""

import json
import logging
import sys
from pathlib import Path

from orchard import stage
from orchard.evaluate import responses
from orchard.prune import chosen

YAMLS = Path(__file__).parent / "tasks"


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("evaluate")
    stage.set_threads(1)
    import pandas
    from lm_eval.tasks import TaskManager

    from orchard import models
    from orchard.evaluate.lm import StrictLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    folder = f"results/models/{name}"
    lm = StrictLM(models.load_model(folder), models.load_tokenizer(folder), settings["batch_size"])
    manager = TaskManager(include_path=str(YAMLS), include_defaults=False)  # reading lm-eval's own tasks takes 15 s
    progress = stage.Progress(f"evaluate@{name}", len(settings["tasks"]))
    scores, samples = [], []
    for task, options in settings["tasks"].items():
        for sample in run_task(lm, manager, options, settings):
            scores += item_scores(task, options["kind"], sample, lm)
            errors = []
            if options["kind"] == "generation":
                texts, tokens, errors = written(sample, options, lm.tokenizer)
                told = responses.describe(sample["doc"], texts, tokens, errors)
                scores += metric_rows(task, options["kind"], sample, told)
            samples.append(sample_row(task, sample, errors))
        progress.step()
    with stage.output(f"results/evals/{name}") as scratch:
        scratch.mkdir()
        pandas.DataFrame(scores).to_parquet(scratch / "scores.parquet", index=False)
        pandas.DataFrame(samples).to_parquet(scratch / "samples.parquet", index=False)
        facts = {"model": name, "model_record": json.loads(Path(folder, "record.json").read_text())}
        facts["chosen_on"] = chosen.overlap(Path(folder), all_items(settings))
        stage.write_record(scratch, "evaluate", settings, [folder, *data_files(settings)], **facts)


def data_files(settings: dict) -> list[str]:
    """The files of items and of few-shot examples that the tasks read."""
    files = {file for task in settings["tasks"].values() for file in (task["items"], task["few_shot"]["items"])}
    return sorted(files - {None})


def all_items(settings: dict) -> list[dict]:
    """The items of all tasks."""
    return [
        item for task in settings["tasks"].values() for item in stage.read_jsonl(task["items"])[: settings["limit"]]
    ]


def run_task(lm, manager, options: dict, settings: dict) -> list[dict]:
    """lm-eval's per-item results of one task, in the order of the items. Every task starts from the same seed."""
    import torch
    from lm_eval.evaluator import evaluate

    shots = options["few_shot"]
    spec = {
        "task": f"orchard-{options['kind']}",
        "num_fewshot": shots["count"],
        "dataset_kwargs": {
            "items_path": options["items"],
            "limit": settings["limit"],
            "shots": shots["count"],
            "shots_path": shots["items"],
        },
    }
    if options["kind"] == "generation":
        spec |= generation_options(options, lm.tokenizer)
    torch.manual_seed(settings["seed"])
    # As a member of a group, a task with overrides starts from its YAML. (simple_evaluate asks hub and pip on top.)
    result = evaluate(lm, manager.load({"group": "study", "task": [spec]}), bootstrap_iters=0)
    (rows,) = result["samples"].values()
    return sorted(rows, key=lambda row: row["doc_id"])


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


def item_scores(task: str, kind: str, sample: dict, lm) -> list[dict]:
    """One row for each metric of an item: task, kind, item, metric, value."""
    values = {metric: float(sample[metric]) for metric in sample["metrics"]}
    if kind == "likelihood":
        prompt, answer = sample["arguments"][0]
        tokens = len(lm.tok_encode(prompt + answer)) - len(lm.tok_encode(prompt))  # as lm-eval parts them
        values = {"nats": -values["log_likelihood"] / tokens}
    return metric_rows(task, kind, sample, values)


def metric_rows(task: str, kind: str, sample: dict, values: dict[str, float]) -> list[dict]:
    """The rows of an item's metrics, in order of name."""
    return [
        {"task": task, "kind": kind, "item": sample["doc"]["id"], "metric": metric, "value": value}
        for metric, value in sorted(values.items())
    ]


def written(sample: dict, options: dict, tokenizer) -> tuple[list[str], list[list[int]], list[str | None]]:
    """The responses to an item, their tokens, and what is wrong with each.

    lm-eval keeps the text alone, so the tokens are those of the text cut anew, without the one that ended it and other
    special tokens. A response that fills max_new_tokens came to no end.
    """
    (texts,) = sample["resps"]
    tokens = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    errors = [
        responses.error(sample["doc"], text, len(ids) < options["max_new_tokens"])
        for text, ids in zip(texts, tokens, strict=True)
    ]
    return list(texts), tokens, errors


def sample_row(task: str, sample: dict, errors: list[str | None]) -> dict:
    """What the model was asked and what it said: responses and what is wrong with each (null: it is right), or the
    log-likelihood of each choice and no errors."""
    return {
        "task": task,
        "item": sample["doc"]["id"],
        "prompt": str(sample["arguments"][0][0]),
        "target": str(sample["target"]),
        "responses": json.dumps([list(response) for response in sample["resps"]]),
        "errors": json.dumps(errors),
    }


if __name__ == "__main__":
    stage.run(main)
