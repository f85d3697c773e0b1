"""Drops layers of a model, chosen by one of the methods of orchard.prune.importance (arXiv 2602.01997, section 3).

python -m orchard.prune MODEL METHOD RATIO
"""

import sys

from orchard import stage


def main() -> None:
    of, method, ratio = sys.argv[1:4]
    settings = stage.params("prune", "calibration")
    stage.set_threads(1)
    from orchard import models
    from orchard.prune import importance, surgery

    name, folder, items = f"{of}-{method}-{ratio}", f"results/models/{of}", settings["items"]
    model, tokenizer = models.load_model(folder), models.load_tokenizer(folder)
    surgery.check(model)
    layers = model.config.num_hidden_layers
    count = surgery.layers_to_drop(layers, int(ratio) if ratio.isdigit() else float(ratio))
    texts = [text_of(item) for item in stage.read_jsonl(items)]
    calibration = importance.Calibration(tokenizer, texts, settings["batch_size"], teller(f"prune@{name}"))
    dropped, measured = importance.choose(method, model, count, calibration)
    surgery.drop_layers(model, dropped)
    with stage.output(f"results/models/prune-{name}") as scratch:
        models.save(model, tokenizer, scratch)
        # Null where it was not measured: so the records of all methods that have no number of their own are alike.
        facts = {"of": of, "method": method, "ratio": count / layers, "dropped": dropped, "block_influence": None}
        stage.write_record(scratch, "prune", settings, [folder, items], **facts | measured)


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
