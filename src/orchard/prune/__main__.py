"""Drops layers of a model, chosen by one of the methods of orchard.prune.importance (arXiv 2602.01997, section 3).

    python -m orchard.prune MODEL METHOD RATIO

Method ``greedy`` takes the layers that the model's search (orchard.prune.greedy) dropped first. Method ``skip`` drops
one layer alone, whose number stands in the place of the ratio.
"""

import json
import sys
from pathlib import Path

from orchard import stage


def main() -> None:
    of, method, ratio = sys.argv[1:4]
    settings = stage.params("prune", "calibration")
    stage.set_threads(1)
    from orchard import card, models
    from orchard.prune import chosen, surgery

    name, folder = f"{of}-{method}-{ratio}", f"results/models/{of}"
    source = f"results/searches/{of}" if method == "greedy" else settings["items"]
    model, tokenizer = models.load_model(folder), models.load_tokenizer(folder)
    surgery.check(model)
    layers = model.config.num_hidden_layers
    if method == "skip":
        dropped, prompts, measured = [int(ratio)], [], {}
    elif method == "greedy":
        dropped, prompts, measured = searched(source, surgery.layers_to_drop(layers, surgery.as_ratio(ratio)))
    else:
        count = surgery.layers_to_drop(layers, surgery.as_ratio(ratio))
        dropped, prompts, measured = measure(method, model, tokenizer, count, settings, f"prune@{name}")
    surgery.drop_layers(model, dropped)
    with stage.output(f"results/models/prune-{name}") as scratch:
        models.save(model, tokenizer, scratch)
        chosen.write(scratch, prompts)
        # Null where it was not measured: so the records of all methods that have no number of their own are alike.
        facts = {"of": of, "method": method, "ratio": len(dropped) / layers, "dropped": dropped}
        facts |= {"block_influence": None} | measured
        facts |= card.lineage(f"layers {dropped} of {layers} dropped, chosen by {method}", folder)
        stage.write_record(scratch, "prune", settings, [folder, source], **facts)
        card.write(scratch, f"prune-{name}")


def measure(method: str, model, tokenizer, count: int, settings: dict, name: str) -> tuple[list[int], list[str], dict]:
    """The layers that a method of orchard.prune.importance chooses, the prompts it saw, and what it measured."""
    from orchard.prune import chosen, importance

    rows = stage.read_jsonl(settings["items"])
    texts = [text_of(item) for item in rows]
    calibration = importance.Calibration(tokenizer, texts, settings["batch_size"], teller(name))
    dropped, measured = importance.choose(method, model, count, calibration)
    return dropped, chosen.digests(rows) if measured else [], measured


def searched(source: str, count: int) -> tuple[list[int], list[str], dict]:
    """The layers that a search dropped first, and the prompts that it scored candidates on."""
    from orchard.prune import chosen

    found = json.loads(Path(source, "record.json").read_text())
    return sorted(found["dropped"][:count]), chosen.read(Path(source)), {}


def text_of(item: dict) -> str:
    """A calibration text: the prompt and what follows it."""
    return f"{item['prompt']} {item.get('response') or item.get('answer') or ''}".strip()


def teller(name: str):
    """A function of (done, total) that tells a stage's progress: how much there is to do depends on the method."""
    progress = stage.Progress(name, total=1)

    def tell(done: int, total: int) -> None:
        progress.total = total
        progress.step(done)

    return tell


if __name__ == "__main__":
    stage.run(main)
