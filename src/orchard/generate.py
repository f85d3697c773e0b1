"""Makes one generated data set: pretraining text, prompts to train on, calibration items or evaluation items.

python -m orchard.generate SET
"""

import random
import sys

from orchard import stage
from orchard.tasks import items


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("data", "generate", name)
    rows = from_game(settings) if "game" in settings else from_mix(settings)
    with stage.output(f"data/{settings['role']}/{name}.jsonl") as scratch:
        stage.write_jsonl(scratch, rows)


def from_game(settings: dict) -> list[dict]:
    """Items of a game of reasoning-gym."""
    return items.sample_game(*(settings[key] for key in ("seed", "role", "items", "game", "options")))


def from_mix(settings: dict) -> list[dict]:
    """Items of orchard's own tasks; text to pretrain on comes with responses."""
    rng = random.Random(settings["seed"])
    rows = items.sample_items(rng, settings["role"], settings["items"], settings["mix"], settings["steps"])
    if settings["role"] == "pretrain":
        rows = [row | {"response": styled_response(row, settings, rng)} for row in rows]
    return rows


def styled_response(item: dict, settings: dict, rng: random.Random) -> str:
    """A response in a style dealt at random, with the set's share of slips."""
    style = rng.choices(list(settings["styles"]), list(settings["styles"].values()))[0]
    return items.respond(item, style, noise=settings["noise"], rng=rng)


if __name__ == "__main__":
    stage.run(main)
