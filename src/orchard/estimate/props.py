"""What the stages of a rehearsal read: models of random weights, items and responses of a given length."""

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

from orchard import jsonl, paths
from orchard.models import chosen_on, record
from orchard.tasks import lexicon, registry

TASK = "drawn"  # no task's own name, so a task with a reference answer
# Words that nearly every tokenizer has as one token.
PLAIN = [word for values in lexicon.ATTRIBUTES.values() for word in values]
ANSWER = 50  # tokens of a response where nothing is known of it: ours
LEARNT = 4000  # rows that a rehearsed training reads at most: ours, a second's work
# What stages read in the record of a model that another stage made.
FACTS = {
    "arm": "drawn",
    "objective": "drawn",
    "data": "drawn",
    "draw": 0,
    "of": "drawn",
    "ratio": 0.0,
    "dropped": [],
    "method": "reverse",
}


def edited(tree: dict, edits: dict[str, Any]) -> dict:
    """A copy of a tree with dotted keys set; a mapping is merged into one that is there."""
    tree = copy.deepcopy(tree)
    for dotted, value in edits.items():
        *above, last = dotted.split(".")
        place = tree
        for key in above:
            place = place[key]
        is_merged = isinstance(value, dict) and isinstance(place.get(last), dict) and last != "tasks"
        place[last] = place[last] | value if is_merged else value
    return tree


# Models


def source(base: str) -> Path:
    """The folder of a base model's random weights."""
    return Path("sources") / base


def random_model(folder: Path, settings: dict, tokenizer: str | None) -> None:
    """Writes a model of random weights in the architecture of a config.

    Args:
        folder: where it goes.
        settings: the content of the config.json.
        tokenizer: the folder of its tokenizer; None: one of orchard's own, whose words are the first of its vocabulary.
    """
    import torch
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    from orchard.models import folders
    from orchard.stages.base.pretrain import make_tokenizer

    cutter = folders.load_tokenizer(tokenizer) if tokenizer else make_tokenizer()
    words = {f"{name}_token_id": getattr(cutter, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings | words), trust_remote_code=False)
    folders.save(model, cutter, folder)


def stand_in(folder: Path, base: Path) -> None:
    """Makes a model that another stage would make: the base's files, and a record with what such models say."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for file in base.iterdir():
        if file.name != record.FILE:
            os.link(file, folder / file.name)
    (folder / record.FILE).write_text(json.dumps(FACTS | record.read(base)))


def write_search(of: str) -> None:
    """Writes what a search would find: an order in which layers are dropped."""
    folder = paths.search(of)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / record.FILE).write_text(json.dumps({"dropped": [1]}))
    chosen_on.write(folder, [])


# Items and responses


def rows_of(path: str) -> list[dict]:
    """The rows of a set, or of all sets of a folder."""
    files = sorted(Path(path).glob("*.jsonl")) if Path(path).is_dir() else [Path(path)]
    return [row for file in files for row in jsonl.read(file)]


def few(path: str, count: int) -> str:
    """Some rows of a set, from all over it, as another set; returns its path, or that of the set if it is small."""
    rows = rows_of(path)
    if len(rows) <= count and Path(path).is_file():
        return path
    chosen = [rows[place * len(rows) // count] for place in range(min(count, len(rows)))]
    target = paths.data_set("few", f"{Path(path).stem}-{len(chosen)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(target, chosen)
    return str(target)


def draw_items(path: Path, count: int, prompt: int, answer: int) -> None:
    """Writes a set of items that can be asked in every way: its prompts and answers are words at random.

    Args:
        path: of the set.
        count: rows.
        prompt: words of what is asked.
        answer: words of an answer, and of each of the two choices.
    """
    drawn = random.Random(str(path))
    rows = []
    for number in range(count):
        right, wrong = words(drawn, answer), words(drawn, answer)
        rows.append(
            {
                "id": f"{TASK}-{number:06d}",
                "task": TASK,
                "prompt": words(drawn, prompt),
                "answer": right,
                "choices": [right, f"{wrong} tub" if wrong == right else wrong],
                "label": 0,
                "response": right,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(path, registry.stamped(rows))


def words(drawn: random.Random, count: int) -> str:
    """A text of so many words."""
    return " ".join(drawn.choices(PLAIN, k=max(1, count)))


def draw_responses(path: Path, prompts: str, model: Path, mean: float, most: int) -> None:
    """Writes responses of a model to recovery prompts: tokens at random, of lengths all over a range around the mean.

    Args:
        path: of the responses.
        prompts: the set of prompts, or a folder of sets.
        model: the folder with the tokenizer.
        mean: tokens of a response.
        most: tokens of the longest.
    """
    from orchard.models import folders

    tokenizer, drawn, rows = folders.load_tokenizer(model), random.Random(0), []
    spread = min(mean - 1, most - mean)
    for item in rows_of(prompts)[:LEARNT]:
        ids = drawn.choices(range(len(tokenizer)), k=max(1, round(drawn.uniform(mean - spread, mean + spread))))
        question = {key: item[key] for key in ("prompt", "messages") if key in item}
        facts = {"id": item["id"], "task": item["task"], "response": "drawn", "completion_ids": ids, "cut": False}
        rows.append(question | facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(path, rows)


def lay_out_rows(policy: str, count: int, model: Path) -> None:
    """Repeats the few rows that a rehearsed behaviour policy wrote until a training reads as many as in the study.

    Args:
        policy: its name.
        count: rows of the policy in the study.
        model: the folder of the policy itself, for live distillation.
    """
    import pandas

    folder = paths.behaviour(policy)
    rows = pandas.read_parquet(folder / "rows.parquet")
    wanted = min(count, LEARNT)
    if len(rows) < wanted:
        repeated = pandas.concat([rows] * -(-wanted // len(rows)), ignore_index=True)[:wanted]
        repeated.to_parquet(folder / "rows.parquet", index=False)
    if not (folder / "policy").exists():
        (folder / "policy").symlink_to(model.absolute())
