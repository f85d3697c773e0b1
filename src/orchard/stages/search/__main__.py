"""Greedy search for the layers to drop of one model, up to the highest of some ratios (arXiv 2602.01997, section 3).

    python -m orchard.stages.search MODEL --of MODEL --ratios RATIO [RATIO ...]

The order in which layers are dropped is the result: a lower ratio takes the layers that were dropped first. A search
that was killed goes on where it was.
"""

from pathlib import Path

from orchard import jsonl, paths
from orchard.models import chosen_on, folders, loading, record, surgery
from orchard.processes import Progress
from orchard.stages import kept, stage
from orchard.stages.search import candidates, greedy
from orchard.study.schema.prune import SearchRun, Selection, SelectionTask


def main(name: str, run: SearchRun) -> None:
    selection = stage.params(Selection, "prune", "selection")
    folder, target = paths.model(run.of), paths.search(run.of)
    model, tokenizer = folders.load_frozen(folder), folders.load_tokenizer(folder)
    surgery.check(model)
    count = max(surgery.layers_to_drop(model.config.num_hidden_layers, ratio) for ratio in run.ratios)
    tasks = candidates.load(selection.tasks, tokenizer)
    progress = Progress(f"search@{name}", count * sum(map(len, tasks.values())))
    sources = files(selection.tasks)
    begun = (target, __spec__.name, [folder, *run.beside, *sources], run, selection, loading.settings())
    with stage.output(target) as scratch, kept.resumable(*begun) as state:
        found = greedy.search(model, tasks, count, selection, state, progress)
        scratch.mkdir()
        # All that the search may have seen, scored or not.
        chosen_on.write(scratch, chosen_on.digests([row for file in sources for row in jsonl.read(file)]))
        facts = {"of": run.of, "dropped": found.dropped, "unpruned": found.unpruned, "rounds": found.plain_rounds()}
        facts["loading"] = loading.settings().model_dump()
        record.write(scratch, "search", selection, [folder, *sources], **facts)


def files(tasks: dict[str, SelectionTask]) -> list[Path]:
    """The files of items and of few-shot examples that selection tasks read."""
    read = {file for task in tasks.values() for file in (task.items, task.few_shot.items)}
    return sorted(Path(file) for file in read - {None})


if __name__ == "__main__":
    stage.run(main, SearchRun)
