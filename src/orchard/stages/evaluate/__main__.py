"""Evaluates one model on a suite of tasks with lm-eval, keeping each item's score and each sample.

    python -m orchard.stages.evaluate NAME --model MODEL [--layer NUMBER] --suite SUITE --folder FOLDER

With a layer it is the model without that layer: a view of it, which no stage writes.
"""

import functools
import json
import logging
from pathlib import Path

import pandas

from orchard import jsonl, paths
from orchard.models import folders, formats, loading, record
from orchard.models.prompts import pair_ids
from orchard.processes import Progress
from orchard.stages import kept, stage
from orchard.stages.evaluate import harness, responses, subject
from orchard.study.schema.common import count
from orchard.study.schema.evaluate import OWN, Evaluate, EvaluateRun, NamedTask, Task
from orchard.tasks import registry
from orchard.tasks.task import Judgement


def main(name: str, run: EvaluateRun) -> None:
    asked, folder = stage.params(Evaluate, "evaluate").suite(run.suite), paths.model(run.model)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = harness.task_manager(asked)
    progress = Progress(f"evaluate@{name}", len(asked.tasks))
    tokenizer, target = folders.load_tokenizer(folder), paths.EVALUATIONS / (run.folder or name)
    # All before the first is scored, and before the model is loaded: a task that fails costs nothing.
    loaded = {title: harness.load(manager, task, asked, tokenizer) for title, task in asked.tasks.items()}
    found = {}
    begun = (target, __spec__.name, [folder, *run.beside], run, asked.model_dump(exclude={"tasks"}), loading.settings())
    with stage.output(target) as scratch, kept.resumable(*begun) as state, subject.loaded(name, run, asked) as lm:
        remember = kept.memory(state)
        for title, task in asked.tasks.items():
            what = [title, task.model_dump(), [record.content_hash(file) for file in data_files(task)]]
            found[title] = remember(what, functools.partial(scored, title, asked, lm, loaded[title]))
            progress.step()
        scratch.mkdir()
        for part in ("scores", "samples"):
            rows = [row for each in found.values() for row in each[part]]
            pandas.DataFrame(rows).to_parquet(scratch / f"{part}.parquet", index=False)
        record.write(
            scratch,
            "evaluate",
            asked,
            [folder, *sorted({file for task in asked.tasks.values() for file in data_files(task)})],
            loading=loading.settings().model_dump(),
            engine=lm.engine.version,
            model=name.removesuffix(f".{run.suite}"),
            suite=run.suite,
            model_record=subject.record_of(run),
            tasks={title: each["identity"] for title, each in found.items()},
            chosen_on=subject.overlap(run, all_items(asked)),
            format=formats.facts(lm.tokenizer),
        )


def facts(task: Task, loaded: harness.Tasks) -> dict:
    """What the record says of a task beside what identifies it: of one of lm-eval's own, what became of its metrics."""
    return harness.metrics_of(loaded)._asdict() if isinstance(task, NamedTask) else {}


def scored(title: str, asked: Evaluate, lm, loaded: harness.Tasks) -> dict:
    """What is kept of one task: its identity, each item's scores, and each item's samples."""
    task, scores, samples = asked.tasks[title], [], []
    rows = harness.scored(lm, loaded, task, asked)
    for row in rows:
        judgements = judged(task, row, asked.unsafe_programs)
        scores += item_scores(title, task, row, judgements, lm)
        samples.append(sample_row(title, row, judgements))
    return {"identity": harness.identity(rows) | facts(task, loaded), "scores": scores, "samples": samples}


def own_tasks(asked: Evaluate) -> list[Task]:
    """The tasks whose items are files of the study; the others are lm-eval's."""
    return [task for task in asked.tasks.values() if not isinstance(task, NamedTask)]


def data_files(task: Task) -> list[Path]:
    """The files of items and of few-shot examples, or the folder of data, that a task reads."""
    if isinstance(task, NamedTask):
        return [] if task.data in (None, OWN) else [Path(task.data)]
    return [Path(each) for each in (task.items, task.few_shot.items) if each]


def all_items(asked: Evaluate) -> list[dict]:
    """The items of all tasks whose items are files of the study."""
    found = []
    for task in own_tasks(asked):
        rows = jsonl.read(task.items)
        found += rows[: count(asked.limit_of(task), len(rows))]
    return found


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
    texts, tokens = [one.text for one in row["written"]], [one.ids for one in row["written"]]
    if task.kind == "likelihood":
        prompt, answer = row["arguments"][0]
        tokens = len(pair_ids(lm.tokenizer, prompt, answer)[1])  # as they were scored
        values = {"nats": -values["log_likelihood"] / tokens}
    if task.kind == "generation":
        values = responses.describe(texts, tokens, judgements, task.ks())
    elif texts and row["is_first"]:  # what responses are like is one thing, in however many ways they are read
        values |= responses.degeneration(texts, tokens)
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
