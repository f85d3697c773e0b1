"""Makes one generated data set: pretraining text, prompts to train on, calibration items or evaluation items.

python -m orchard.stages.generate SET
"""

import random

from orchard import jsonl, paths
from orchard.stages import stage
from orchard.study.schema.data import GameSet, Generate, PretrainSet, PromptSet
from orchard.tasks import generated, registry


def main(name: str) -> None:
    asked = stage.params(Generate, "data", "generate", name)
    rows = from_game(asked) if isinstance(asked, GameSet) else from_mix(asked)
    with stage.output(paths.data_set(asked.role, name)) as scratch:
        jsonl.write(scratch, rows)


def from_game(asked: GameSet) -> list[dict]:
    """Items of a game of reasoning-gym."""
    return registry.stamped(generated.sample_game(asked.seed, asked.role, asked.items, asked.game, asked.options))


def from_mix(asked: PretrainSet | PromptSet) -> list[dict]:
    """Items of orchard's own tasks. Text to pretrain on comes with responses, and is never judged."""
    rng = random.Random(asked.seed)
    style = asked.style if isinstance(asked, PromptSet) else None
    items = generated.sample_items(rng, asked.role, asked.items, asked.mix, asked.steps, style)
    if isinstance(asked, PretrainSet):
        return [item | {"response": styled_response(item, asked, rng)} for item in items]
    return registry.stamped(items)


def styled_response(item: dict, asked: PretrainSet, rng: random.Random) -> str:
    """A response in a style dealt at random, with the set's share of slips."""
    style = rng.choices(list(asked.styles), list(asked.styles.values()))[0]
    return generated.TASKS[item["task"]].respond(item, style, noise=asked.noise, rng=rng)


if __name__ == "__main__":
    stage.run(main, computes=False)
