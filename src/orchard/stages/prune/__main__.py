"""Drops layers of a model, chosen by a method of orchard.stages.prune.importance (arXiv 2602.01997, section 3).

    python -m orchard.stages.prune NAME --of MODEL --method METHOD --ratio RATIO --chosen_on PATH

Method ``greedy`` takes the layers that the model's search (orchard.stages.search) dropped first. The pruned model has
the numbers of the checkpoint, also where the layers are measured in fewer bits.
"""

from collections.abc import Callable
from pathlib import Path

from orchard import jsonl, paths
from orchard.models import card, chosen_on, folders, loading, record, surgery
from orchard.models.prompts import answer_ids, asked, prompt_ids
from orchard.processes import Progress
from orchard.stages import stage
from orchard.stages.prune import importance
from orchard.study.schema.prune import Calibration, PruneRun
from orchard.tasks import registry
from orchard.tasks.generated_task import GeneratedTask


def main(name: str, run: PruneRun) -> None:
    calibration = stage.params(Calibration, "prune", "calibration")
    folder, source = paths.model(run.of), Path(run.chosen_on)
    model, tokenizer = folders.load_frozen(folder), folders.load_tokenizer(folder)
    surgery.check(model)
    layers = model.config.num_hidden_layers
    if run.method == "greedy":
        dropped, prompts, measured = searched(source, surgery.layers_to_drop(layers, run.ratio))
    else:
        count = surgery.layers_to_drop(layers, run.ratio)
        dropped, prompts, measured = measure(name, run, model, tokenizer, count, calibration)
    if model.dtype != (kept := folders.dtype_of(folder)):
        del model  # so that one is in memory at a time
        model = folders.load_model(folder, kept)
    surgery.drop_layers(model, dropped)
    with stage.output(paths.model(f"prune-{name}")) as scratch:
        folders.save(model, tokenizer, scratch)
        chosen_on.write(scratch, prompts)
        # Null where it was not measured: so the records of all methods that have no number of their own are alike.
        unmeasured = {"block_influence": None, "bare_answers": None}
        facts = {"ratio": len(dropped) / layers, "dropped": dropped} | unmeasured | measured
        card.finish(
            scratch,
            f"prune-{name}",
            "prune",
            calibration,
            [folder, source],
            step=f"layers {dropped} of {layers} dropped, chosen by {run.method}" + caution(facts["bare_answers"]),
            start=folder,
            **record.chain(folder),
            loading=loading.settings().model_dump(),
            of=run.of,
            method=run.method,
            **facts,
        )


def measure(
    name: str, run: PruneRun, model, tokenizer, count: int, asked: Calibration
) -> tuple[list[int], list[str], dict]:
    """The layers that a method of orchard.stages.prune.importance chooses, the prompts it saw, and what it measured."""
    items = jsonl.read(asked.items)
    texts = [text_of(item, tokenizer) for item in items]
    calibration = importance.CalibrationTexts(tokenizer, texts, asked.batch_size, reporter(f"prune@{name}"))
    replicate = record.chain(paths.model(run.of))["seed"]
    dropped, measured = importance.choose(run.method, model, count, calibration, replicate)
    if not measured:
        return dropped, [], {}
    bare = sum(is_bare(item) for item in items)
    print(f"{len(texts)} calibration texts{caution(bare)}", flush=True)
    return dropped, chosen_on.digests(items), measured | {"bare_answers": bare}


def searched(source: Path, count: int) -> tuple[list[int], list[str], dict]:
    """The layers that a search dropped first, and the prompts that it scored candidates on."""
    return sorted(record.read(source)["dropped"][:count]), chosen_on.read(source), {}


def text_of(item: dict, tokenizer) -> list[int]:
    """A calibration text as the model reads and writes it: the prompt, and the worked answer up to its end.

    The token that ends it is written and never read.
    """
    question, answer = asked(item), item.get("response") or item.get("answer")
    return prompt_ids(tokenizer, question) + (answer_ids(tokenizer, question, answer)[:-1] if answer else [])


def is_bare(item: dict) -> bool:
    """Whether an item's text ends in an answer without the work that a response to it would show.

    Of a generated task without styles, and where the answer itself shows work (``final``), there is no other response.
    """
    task = registry.load(item["task"]) if "task" in item else None
    is_whole = isinstance(task, GeneratedTask) and not task.styles
    return not (is_whole or item.get("response") or item.get("final")) and bool(item.get("answer"))


def caution(bare: int | None) -> str:
    """What is to be known of calibration texts of which some have no worked answer."""
    return f", {bare} of them with a bare answer, as they come without a response" if bare else ""


def reporter(name: str) -> Callable[[int, int], None]:
    """A function of (done, total) that reports a stage's progress: how much there is to do depends on the method."""
    progress = Progress(name, total=1)

    def report(done: int, total: int) -> None:
        progress.total = total
        progress.step(done)

    return report


if __name__ == "__main__":
    stage.run(main, PruneRun)
