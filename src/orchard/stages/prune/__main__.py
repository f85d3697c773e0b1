"""Drops layers of a model, chosen by a method of orchard.stages.prune.importance (arXiv 2602.01997, section 3).

    python -m orchard.stages.prune NAME --of MODEL --method METHOD (--ratio RATIO | --layer NUMBER) --chosen_on PATH

Method ``greedy`` takes the layers that the model's search (orchard.stages.search) dropped first. Method ``skip`` drops
one layer alone.
"""

from collections.abc import Callable
from pathlib import Path

from orchard import jsonl, paths
from orchard.models import card, chosen_on, folders, record, surgery
from orchard.models.prompts import joined
from orchard.processes import Progress
from orchard.stages import stage
from orchard.stages.prune import importance
from orchard.study.schema.prune import Calibration, PruneRun


def main(name: str, run: PruneRun) -> None:
    calibration = stage.params(Calibration, "prune", "calibration")
    folder, source = paths.model(run.of), Path(run.chosen_on)
    model, tokenizer = folders.load_model(folder), folders.load_tokenizer(folder)
    surgery.check(model)
    layers = model.config.num_hidden_layers
    if run.layer is not None:
        dropped, prompts, measured = [run.layer], [], {}
    elif run.method == "greedy":
        dropped, prompts, measured = searched(source, surgery.layers_to_drop(layers, run.ratio))
    else:
        count = surgery.layers_to_drop(layers, run.ratio)
        dropped, prompts, measured = measure(name, run, model, tokenizer, count, calibration)
    surgery.drop_layers(model, dropped)
    with stage.output(paths.model(f"prune-{name}")) as scratch:
        folders.save(model, tokenizer, scratch)
        chosen_on.write(scratch, prompts)
        # Null where it was not measured: so the records of all methods that have no number of their own are alike.
        facts = {"ratio": len(dropped) / layers, "dropped": dropped, "block_influence": None} | measured
        card.finish(
            scratch,
            f"prune-{name}",
            "prune",
            calibration,
            [folder, source],
            step=f"layers {dropped} of {layers} dropped, chosen by {run.method}",
            start=folder,
            **record.chain(folder),
            of=run.of,
            method=run.method,
            **facts,
        )


def measure(
    name: str, run: PruneRun, model, tokenizer, count: int, asked: Calibration
) -> tuple[list[int], list[str], dict]:
    """The layers that a method of orchard.stages.prune.importance chooses, the prompts it saw, and what it measured."""
    items = jsonl.read(asked.items, ("prompt",))
    texts = [text_of(item) for item in items]
    calibration = importance.CalibrationTexts(tokenizer, texts, asked.batch_size, reporter(f"prune@{name}"))
    replicate = record.chain(paths.model(run.of))["seed"]
    dropped, measured = importance.choose(run.method, model, count, calibration, replicate)
    return dropped, chosen_on.digests(items) if measured else [], measured


def searched(source: Path, count: int) -> tuple[list[int], list[str], dict]:
    """The layers that a search dropped first, and the prompts that it scored candidates on."""
    return sorted(record.read(source)["dropped"][:count]), chosen_on.read(source), {}


def text_of(item: dict) -> str:
    """A calibration text: the prompt and what follows it."""
    return joined(item["prompt"], item.get("response") or item.get("answer") or "").strip()


def reporter(name: str) -> Callable[[int, int], None]:
    """A function of (done, total) that reports a stage's progress: how much there is to do depends on the method."""
    progress = Progress(name, total=1)

    def report(done: int, total: int) -> None:
        progress.total = total
        progress.step(done)

    return report


if __name__ == "__main__":
    stage.run(main, PruneRun)
