"""Items of every generated task: sampled from a seed, split by a hash of the prompt, checked by a verifier.

A prompt belongs to one split for ever (a hash of its text decides), so evaluation items, calibration items and training
items are disjoint by construction, whatever the seeds. Facts are the exception: they are knowledge, taught and asked.
"""

import hashlib
import random
import re

from orchard.tasks import calc, english, gym, mathematics, programs, words

SPLIT_OF_ROLE = {
    "eval": "eval",
    "calibration": "calibration",
    "prompts": "train",
    "recovery": "train",
    "pretrain": "train",
}
SAMPLERS = {
    "calc": calc.sample_prompt,
    "brackets": words.sample_brackets,
    "fact": lambda rng, steps: words.sample_fact(rng),
    "cmp": lambda rng, steps: words.sample_comparison(rng),
    "calc-step": calc.sample_step,
    "english-arithmetic": english.sample_problem,
}
ANSWERS = {
    "calc": calc.answer,
    "calc-step": calc.answer_step,
    "brackets": words.close_brackets,
    "fact": words.recall_fact,
    "cmp": words.compare,
    "english-arithmetic": english.solve,
}
CHOICES = {"fact": words.fact_choices, "cmp": lambda prompt: words.RELATIONS}
DIGITS = [str(digit) for digit in range(10)]
EVAL_CHOICES = {  # only an evaluation asks these by multiple choice, so the files to learn from do without
    "calc": [f"{calc.ANSWER} {digit}" for digit in DIGITS],
    "calc-step": DIGITS,
    "english-arithmetic": DIGITS,
}
GSM8K = re.compile(r"#### (-?[0-9.,]+)")


def split_of(prompt: str) -> str:
    """eval (1 of 10 prompts), calibration (1 of 10) or train; a step of a chain is where its chain is."""
    bucket = int(hashlib.sha256(calc.chain_of(prompt).encode()).hexdigest(), 16) % 10
    return {0: "eval", 1: "calibration"}.get(bucket, "train")


def sample_items(rng: random.Random, role: str, count: int, mix: dict[str, float], steps: list[int]) -> list[dict]:
    """``count`` different items of a role's split.

    Args:
        rng: the source of randomness, seeded by the caller.
        role: eval, calibration, prompts or pretrain; pretraining text may repeat, the others not.
        count: number of items; fewer come back when a task has no more different prompts.
        mix: share of each task.
        steps: smallest and largest number of steps (calc, calc-step), operations (english-arithmetic) or open brackets
            (brackets).
    """
    items, seen = [], set()
    for _ in range(count * 50):
        if len(items) == count:
            break
        task, drawn = rng.choices(list(mix), list(mix.values()))[0], rng.randint(*steps)
        prompt = SAMPLERS[task](rng, drawn)
        if is_split(task, drawn) and split_of(prompt) != SPLIT_OF_ROLE[role]:
            continue
        if role != "pretrain" and prompt in seen:
            continue
        seen.add(prompt)
        items.append(make_item(task, prompt, len(items), role))
    return items


def is_split(task: str, steps: int) -> bool:
    """Whether a task's prompts belong to splits; single facts and single English sums are too few to hold any out."""
    return task != "fact" and not (task == "english-arithmetic" and steps == 1)


def sample_game(seed: int, role: str, count: int, game: str, options: dict) -> list[dict]:
    """``count`` different items of a role's split from a game of reasoning-gym; fewer when it has no more.

    A question whose own answer the verifier does not take (it is too long, or the game errs) is passed over.

    Args:
        seed: the game's own seed.
        role: eval, calibration or prompts.
        count: number of items.
        game: the name of the game.
        options: what its configuration sets otherwise than by default.
    """
    found = {}
    for question in gym.sample(game, options, seed, most=count * 50):
        if len(found) == count:
            break
        in_split = split_of(question["prompt"]) == SPLIT_OF_ROLE[role]
        if in_split and gym.score(question["game"], question["answer"]) == 1:
            task = f"{gym.PREFIX}{game}"
            found.setdefault(question["prompt"], {"id": f"{task}-{len(found):05d}", "task": task} | question)
    return list(found.values())


def make_item(task: str, prompt: str, number: int, role: str) -> dict:
    """One item: id, task, prompt, answer and, for multiple choice, the choices and the index of the right one.

    An item with choices can be asked both ways: as multiple choice, and as generation.
    """
    item = {"id": f"{task}-{number:05d}", "task": task, "prompt": prompt, "answer": ANSWERS[task](prompt)}
    if task in CHOICES:
        item["choices"] = CHOICES[task](prompt)
        item["label"] = item["choices"].index(item["answer"])
    elif role == "eval" and task in EVAL_CHOICES:
        item["choices"], item["label"] = EVAL_CHOICES[task], DIGITS.index(item["answer"])
    return item


def respond(item: dict, style: str, **options) -> str:
    """A right response to an item; an ingested one, of whatever style, is the answer that came with it."""
    if item["task"] == "calc":
        return calc.respond(item["prompt"], style, **options)
    if item["task"] == "english-arithmetic":
        return english.respond(item["prompt"], style)
    return item["answer"]


def is_correct(item: dict, response: str) -> bool:
    """The verifier: whether a response to an item is right (the 0/1 reward of RL and the score of evaluation).

    Args:
        item: its task and prompt; for an ingested task also its answer and, where the answer shows work, the final one;
            for a game of reasoning-gym also ``game``; for a program also its test.
        response: what the policy wrote after the prompt.
    """
    task, prompt = item["task"], item["prompt"]
    if task.startswith(gym.PREFIX):
        return gym.score(item["game"], response) == 1
    if task == programs.TASK:
        return programs.outcome(item, response).error is None
    if task == "math":
        return mathematics.agrees(item.get("final") or item["answer"], response)
    if task == "calc":
        return calc.is_correct(prompt, response)
    if task == "english-arithmetic":
        return english.is_correct(prompt, response)
    if task in ANSWERS:
        return response.strip() == ANSWERS[task](prompt)
    return english.agrees(item.get("final") or item["answer"], response)


def is_strictly_correct(item: dict, response: str) -> bool:
    """Whether a response is right and in the very form that the task asks for.

    ``#### <number>`` for GSM8K (lm-eval's strict-match), a box for MATH, the bare rest of a program. The other tasks
    know one form only.
    """
    if item["task"] == programs.TASK:
        return programs.outcome(item, response, strict=True).error is None
    if item["task"] == "gsm8k":
        found = GSM8K.search(response)
        return bool(found) and english.agrees(item["final"], found[1])
    return is_correct(item, response) and (item["task"] != "math" or "\\boxed{" in response)


def score(item: dict, response: str) -> float:
    """The verifier with partial credit, 0 to 1: the score of a game of reasoning-gym; 0 or 1 for every other task."""
    if item["task"].startswith(gym.PREFIX):
        return gym.score(item["game"], response)
    return float(is_correct(item, response))


def has_answer(item: dict, response: str) -> bool:
    """Whether a response gives any answer, right or wrong, in the form that the verifier reads."""
    if item["task"] == "calc":
        return calc.given_answer(response) is not None
    if item["task"] == "math":
        return bool(mathematics.final_answer(response))
    if item["task"] == programs.TASK:
        return bool(response.strip())
    return english.has_answer(item.get("final") or item["answer"], response)
