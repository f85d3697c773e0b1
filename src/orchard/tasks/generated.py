"""Generated sets of items: sampled from a seed, and split by a hash of the prompt.

A prompt belongs to one split for ever (a hash of its text decides), so evaluation items, calibration items and training
items are disjoint by construction, whatever the seeds. Facts are the exception: they are knowledge, taught and asked.
"""

import hashlib
import random

from orchard.tasks import calc, english, games, words
from orchard.tasks.registry import GAME

TASKS = calc.TASKS | words.TASKS | english.TASKS
SPLIT_OF_ROLE = {
    "eval": "eval",
    "calibration": "calibration",
    "prompts": "train",
    "recovery": "train",
    "pretrain": "train",
}


def split_of(text: str) -> str:
    """eval (1 of 10 texts), calibration (1 of 10) or train."""
    bucket = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10
    return {0: "eval", 1: "calibration"}.get(bucket, "train")


def sample_items(
    rng: random.Random, role: str, count: int, mix: dict[str, float], steps: list[int], style: str | None = None
) -> list[dict]:
    """``count`` different items of a role's split.

    Args:
        rng: the source of randomness, seeded by the caller.
        role: eval, calibration, prompts, recovery or pretrain; pretraining text may repeat, the others not.
        count: number of items; fewer come back when a task has no more different prompts.
        mix: share of each task.
        steps: smallest and largest number of steps, operations or open brackets.
        style: of the worked responses that items come with, and of the work that prompts show; None: neither.
    """
    items, seen = [], set()
    for _ in range(count * 50):
        if len(items) == count:
            break
        name, drawn = rng.choices(list(mix), list(mix.values()))[0], rng.randint(*steps)
        task = TASKS[name]
        prompt = task.put(task.sample(rng, drawn), style)
        if task.is_split(drawn) and split_of(task.split_by(prompt)) != SPLIT_OF_ROLE[role]:
            continue
        if role != "pretrain" and prompt in seen:
            continue
        seen.add(prompt)
        items.append(make_item(name, prompt, len(items), role, style))
    return items


def make_item(name: str, prompt: str, number: int, role: str, style: str | None = None) -> dict:
    """One item of a generated task.

    An item with choices can be asked both ways: as multiple choice, and as generation.
    """
    task = TASKS[name]
    item = {"id": f"{name}-{number:05d}", "task": name, "prompt": prompt, "answer": task.answer(prompt)}
    if choices := task.choices(prompt):
        item |= {"choices": choices, "label": choices.index(item["answer"])}
    elif role == "eval" and task.choices_in_evaluation:
        item |= {"choices": list(task.choices_in_evaluation), "label": calc.DIGITS.index(item["answer"])}
    if style and (response := task.respond(item, style)) != item["answer"]:
        item["response"] = response
    return item


def sample_game(seed: int, role: str, count: int, game: str, options: dict) -> list[dict]:
    """``count`` different items of a role's split from a game of reasoning-gym; fewer when it has no more.

    A question whose own answer the verifier does not take (it is too long, or the game errs) is passed over.

    Args:
        seed: the game's own seed.
        role: eval, calibration, prompts or recovery.
        count: number of items.
        game: the name of the game.
        options: what its configuration sets otherwise than by default.
    """
    found: dict[str, dict] = {}
    judge, task = games.TASKS["any"], f"{GAME}{game}"
    for question in games.sample(game, options, seed, most=count * 50):
        if len(found) == count:
            break
        in_split = split_of(question["prompt"]) == SPLIT_OF_ROLE[role]
        if in_split and judge.score(question, question["answer"]) == 1:
            found.setdefault(question["prompt"], {"id": f"{task}-{len(found):05d}", "task": task} | question)
    return list(found.values())
