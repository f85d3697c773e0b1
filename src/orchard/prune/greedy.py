"""Greedy search for the layers to drop of one model, up to the highest of some ratios (arXiv 2602.01997, section 3).

    python -m orchard.prune.greedy MODEL RATIO [RATIO ...]

The order in which layers are dropped is the result: a lower ratio takes the layers that were dropped first. A search
that was killed goes on where it was.
"""

import sys

from orchard import stage


def main() -> None:
    of, *ratios = sys.argv[1:]
    settings = stage.params("prune", "selection")
    stage.set_threads(1)
    from orchard import models
    from orchard.prune import chosen, scoring, search, surgery

    folder, target = f"results/models/{of}", f"results/searches/{of}"
    model, tokenizer = models.load_model(folder), models.load_tokenizer(folder)
    surgery.check(model)
    layers = model.config.num_hidden_layers
    count = max(surgery.layers_to_drop(layers, surgery.as_ratio(ratio)) for ratio in ratios)
    tasks = scoring.load(settings["tasks"], tokenizer)
    progress = stage.Progress(f"search@{of}", count * sum(map(len, tasks.values())))
    with stage.output(target) as scratch, stage.resumable(target) as state:
        found = search.greedy(model, tasks, count, settings, state, progress)
        scratch.mkdir()
        # All that the search may have seen, scored or not.
        prompts = [row for file in files(settings["tasks"]) for row in stage.read_jsonl(file)]
        chosen.write(scratch, chosen.digests(prompts))
        rounds = [
            {str(layer): {"score": each.score, "items": each.items} for layer, each in round.items()}
            for round in found.rounds
        ]
        facts = {"of": of, "dropped": found.dropped, "unpruned": found.unpruned, "rounds": rounds}
        stage.write_record(scratch, "search", settings, [folder, *files(settings["tasks"])], **facts)


def files(tasks: dict[str, dict]) -> list[str]:
    """The files of items and of few-shot examples that selection tasks read."""
    read = {file for task in tasks.values() for file in (task["items"], task["few_shot"]["items"])}
    return sorted(read - {None})


if __name__ == "__main__":
    stage.run(main)
