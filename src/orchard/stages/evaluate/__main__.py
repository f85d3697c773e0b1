"""Evaluates one model on the study's tasks with lm-eval, keeping each item's score and each sample.

    python -m orchard.stages.evaluate NAME --model MODEL [--layer NUMBER]

With a layer it is the model without that layer: a view of it, which no stage writes.
"""

import json
import logging
from pathlib import Path

import pandas

from orchard import jsonl, paths
from orchard.models import formats, loading, record
from orchard.models.prompts import pair_ids
from orchard.processes import Progress
from orchard.stages import stage
from orchard.stages.evaluate import harness, responses, subject
from orchard.study.schema.evaluate import Evaluate, EvaluateRun, NamedTask, Task
from orchard.tasks import registry
from orchard.tasks.task import Judgement


def main(name: str, run: EvaluateRun) -> None:
    asked, folder = stage.params(Evaluate, "evaluate"), paths.model(run.model)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = harness.task_manager(asked)
    progress = Progress(f"evaluate@{name}", len(asked.tasks))
    scores, samples, tasks = [], [], {}
    with subject.loaded(name, run, asked) as lm:
        for title, task in asked.tasks.items():
            rows = harness.run(lm, manager, task, asked)
            tasks[title] = harness.identity(rows)
            for row in rows:
                judgements = judged(task, row, asked.unsafe_programs)
                scores += item_scores(title, task, row, judgements, lm)
                samples.append(sample_row(title, row, judgements))
            progress.step()
        written_in, version = formats.facts(lm.tokenizer), lm.engine.version
    with stage.output(paths.evaluation(name)) as scratch:
        scratch.mkdir()
        pandas.DataFrame(scores).to_parquet(scratch / "scores.parquet", index=False)
        pandas.DataFrame(samples).to_parquet(scratch / "samples.parquet", index=False)
        record.write(
            scratch,
            "evaluate",
            asked,
            [folder, *data_files(asked)],
            loading=loading.settings().model_dump(),
            engine=version,
            model=name,
            model_record=subject.record_of(run),
            tasks=tasks,
            chosen_on=subject.overlap(run, all_items(asked)),
            format=written_in,
        )


def own_tasks(asked: Evaluate) -> list[Task]:
    """The tasks whose items are files of the study; the others are lm-eval's."""
    return [task for task in asked.tasks.values() if not isinstance(task, NamedTask)]


def data_files(asked: Evaluate) -> list[Path]:
    """The files of items and of few-shot examples that the tasks read."""
    files = {file for task in own_tasks(asked) for file in (task.items, task.few_shot.items)}
    return [Path(file) for file in sorted(files - {None})]


def all_items(asked: Evaluate) -> list[dict]:
    """The items of all tasks whose items are files of the study."""
    return [item for task in own_tasks(asked) for item in jsonl.read(task.items)[: asked.limit]]


def judged(task: Task, row: dict, unsafe: bool) -> list[Judgement]:
    """What the item's task says of each response; empty where no verifier checks responses."""
    if task.kind != "generation":
        return []
    verifier = registry.load(row["doc"]["task"])
    return [verifier.judge(row["doc"], one.text, one.ended, unsafe) for one in row["written"]]


def item_scores(title: str, task: Task, row: dict, judgements: list[Judgement], lm) -> list[dict]:
    """One row per metric of an item: task, kind, item, metric, value; the metrics in order of name."""
    suffix = "" if row["filter"] in ("none", "samples") else f", {row['filter']}"
    values = {f"{metric}{suffix}": float(row[metric]) for metric in row["metrics"]}
    if task.kind == "likelihood":
        prompt, answer = row["arguments"][0]
        tokens = len(pair_ids(lm.tokenizer, prompt, answer)[1])  # as they were scored
        values = {"nats": -values["log_likelihood"] / tokens}
    if task.kind == "generation":
        texts, tokens = [one.text for one in row["written"]], [one.ids for one in row["written"]]
        values = responses.describe(texts, tokens, judgements)
    return [
        {"task": title, "kind": task.kind, "item": item_id(row), "metric": metric, "value": value}
        for metric, value in sorted(values.items())
    ]


def item_id(row: dict) -> str:
    """An item's own id, or for items of lm-eval's tasks the task and the number."""
    return row["doc"]["id"] if row["of"].startswith("orchard-") else f"{row['of']}-{row['doc_id']:05d}"


def sample_row(title: str, row: dict, judgements: list[Judgement]) -> dict:
    """What the model was asked and what it wrote: responses with their tokens, whether max_new_tokens cut each off, and
    what is wrong with it (null: it is right); or the log-likelihood of each choice, and none of these."""
    return {
        "task": title,
        "item": item_id(row),
        "filter": row["filter"],
        "prompt": str(row["arguments"][0][0]),
        "target": str(row["target"]),
        "responses": json.dumps([list(response) for response in row["resps"]]),
        "tokens": json.dumps([one.ids for one in row["written"]]),
        "cut": json.dumps([not one.ended for one in row["written"]]),
        "errors": json.dumps([judgement.error for judgement in judgements]),
    }


if __name__ == "__main__":
    stage.run(main, EvaluateRun)
