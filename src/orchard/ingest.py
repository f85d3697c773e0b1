"""Brings the files of a public benchmark into orchard's item form, one JSON object a line.

    python -m orchard.ingest NAME

An item has ``id``, ``task``, ``prompt`` and ``answer``; ``choices`` and ``label`` (the index of the right one) if it is
multiple choice; ``response`` if it comes with a worked one. A format is a function from a row of a file to an item.
"""

import hashlib
import json
import random
import re
import sys
from pathlib import Path

from orchard import stage
from orchard.errors import UserError
from orchard.tasks import gym, mathematics, programs

SUFFIX = dict.fromkeys(("gsm8k", "math", "blimp", "humaneval", "mbpp", "jsonl"), "*.jsonl") | {"bbh": "*.json"}
CHOICES_IN_TEXT = re.compile(r"^(?:\(([A-Z])\)|- (\w+))", re.MULTILINE)  # of BIG-Bench Hard: "(A) text" or "- Yes"


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("data", "ingest", name)
    items = ingest(settings)
    with stage.output(f"data/{settings['role']}/{name}.jsonl") as scratch:
        stage.write_jsonl(scratch, items)


def ingest(settings: dict) -> list[dict]:
    """The items of a file, or of every file in a folder (in the order of their names).

    Args:
        settings: path, format, seed of a draw of rows, offset (how many of each file's draw are left to other sets),
            limit (how many are taken, and kept in the file's order; null is the rest).

    Raises:
        UserError: there is no such file, or a row is broken or lacks a field (file and row are named).
    """
    items = []
    for file in files_of(Path(settings["path"]), settings["format"]):
        rows = read_rows(file, settings["format"])
        for number in drawn(len(rows), settings["offset"], settings["limit"], f"{settings['seed']} {file.name}"):
            items.append(make_item(settings["format"], rows[number], file, number + 1))
    return with_different_ids(items, settings["path"])


def files_of(path: Path, form: str) -> list[Path]:
    """The file itself, or the files of the format in a folder."""
    files = [path] if path.is_file() else sorted(path.glob(SUFFIX[form]))
    if not files:
        raise UserError(
            f"{path} is no file and holds no {SUFFIX[form]}",
            f"data of format {form} is there",
            "it is read here",
            "correct data.ingest in config.yaml, or put the files there",
        )
    return files


def read_rows(file: Path, form: str) -> list[dict]:
    """The rows of a JSONL file, or the examples of a BIG-Bench Hard file."""
    if form != "bbh":
        return stage.read_jsonl(file)
    try:
        return json.loads(file.read_text())["examples"]
    except (ValueError, KeyError, TypeError) as error:
        place = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(
            f"{file}{place}: no whole BIG-Bench Hard file ({error})",
            "it is one JSON object with a list `examples`",
            "a truncated file would silently become a smaller data set",
            "fetch the file again",
        ) from error


def drawn(count: int, offset: int, limit: int | None, seed: str) -> list[int]:
    """Which rows of ``count`` are taken, in order: those from ``offset`` on, ``limit`` at most, of a shuffled list."""
    shuffled = random.Random(seed).sample(range(count), count)
    if offset >= count:
        raise UserError(
            f"offset {offset} of {count} rows: no row is left",
            "a set takes rows after those that it leaves to others",
            "an empty set can be neither learnt nor scored",
            "lower data.ingest.<name>.offset",
        )
    return sorted(shuffled[offset:][:limit])


def make_item(form: str, row: dict, file: Path, number: int) -> dict:
    """The item of one row.

    Raises:
        UserError: the row lacks a field, or a field holds what the format does not allow.
    """
    try:
        return MAKE[form](row, file.stem, number)
    except (KeyError, TypeError, ValueError) as error:
        found = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{file}, line {number}: {found}",
            f"each row has the fields of the format {form}",
            "an item is made of them",
            "mend the row, or correct the format in data.ingest",
        ) from error


def from_gsm8k(row: dict, name: str, number: int) -> dict:
    """A word problem; the answer is the reference solution, which ends in ``#### <number>``."""
    if "####" not in text(row, "answer"):
        raise ValueError("the answer has no final number after ####")
    return {
        "id": f"gsm8k-{name}-{number:05d}",
        "task": "gsm8k",
        "prompt": f"Question: {text(row, 'question')}\nAnswer:",
        "answer": row["answer"],
        "final": row["answer"].rpartition("####")[2].strip(),
    }


def from_math(row: dict, name: str, number: int) -> dict:
    """A problem of MATH or the like. The answer is the worked solution if there is one; it gives the final one too."""
    problem = text(row, "problem" if "problem" in row else "question")
    final = text(row, "answer") if "answer" in row else in_last_box(text(row, "solution"))
    return {
        "id": f"math-{name}-{number:05d}",
        "task": "math",
        "prompt": f"Problem: {problem}\n{mathematics.INSTRUCTION}\nSolution:",
        "answer": text(row, "solution") if "solution" in row else f"\\boxed{{{final}}}",
        "final": final,
    }


def in_last_box(solution: str) -> str:
    """What stands in the last ``\\boxed{…}`` of a solution."""
    box = mathematics.final_answer(solution)
    if not box or not box.startswith("\\boxed{"):
        raise ValueError("there is no field 'answer', and the solution has no final answer in \\boxed{}")
    return box.removeprefix("\\boxed{").removesuffix("}")


def from_bbh(row: dict, name: str, number: int) -> dict:
    """A BIG-Bench Hard example: multiple choice if the question lists its options, else a short answer."""
    item = {
        "id": f"bbh-{name}-{number:05d}",
        "task": f"bbh-{name}",
        "prompt": f"Q: {text(row, 'input')}\nA:",
        "answer": text(row, "target"),
    }
    options = [f"({letter})" if letter else word for letter, word in CHOICES_IN_TEXT.findall(row["input"])]
    if not options and name == "sports_understanding":  # its options are not listed in the question
        options = ["yes", "no"]
    return item | with_choices(options, row["target"]) if options else item


def from_blimp(row: dict, name: str, number: int) -> dict:
    """A minimal pair. A hash of the id deals the order, so that the position says nothing."""
    pair = {"id": f"blimp-{name}-{number:05d}", "task": "blimp", "prompt": "", "answer": text(row, "sentence_good")}
    choices = [row["sentence_good"], text(row, "sentence_bad")]
    if hashlib.sha256(pair["id"].encode()).digest()[0] % 2:
        choices.reverse()
    return pair | with_choices(choices, row["sentence_good"]) | {"paradigm": text(row, "UID")}


def from_humaneval(row: dict, name: str, number: int) -> dict:
    """A function that the prompt begins."""
    for key in ("prompt", "canonical_solution", "test", "entry_point"):
        text(row, key)
    return {"id": f"humaneval-{name}-{number:05d}"} | programs.from_humaneval(row)


def from_mbpp(row: dict, name: str, number: int) -> dict:
    """A function that the prompt describes."""
    for key in ("text", "code"):
        text(row, key)
    if not isinstance(row["test_list"], list) or not all(isinstance(each, str) for each in row["test_list"]):
        raise ValueError(f"field 'test_list' is {row['test_list']!r}, not a list of text")
    return {"id": f"mbpp-{name}-{number:05d}"} | programs.from_mbpp(row)


def from_jsonl(row: dict, name: str, number: int) -> dict:
    """A row that is an item already."""
    for key in ("id", "task", "prompt", "answer"):
        text(row, key, may_be_empty=key in ("prompt", "answer"))
    if row["task"].startswith(gym.PREFIX):
        text(row, "game")
    if row["task"] == programs.TASK:
        for key in ("test", "entry_point"):
            text(row, key)
        if not isinstance(row["begun"], bool):
            raise ValueError(f"field 'begun' is {row['begun']!r}, not true or false")
    if ("choices" in row) != ("label" in row):
        raise ValueError("`choices` and `label` come together")
    if "choices" in row and row["label"] not in range(len(row["choices"])):
        raise ValueError(f"label {row['label']} is not the index of one of {len(row['choices'])} choices")
    return row


MAKE = {
    "gsm8k": from_gsm8k,
    "math": from_math,
    "bbh": from_bbh,
    "blimp": from_blimp,
    "humaneval": from_humaneval,
    "mbpp": from_mbpp,
    "jsonl": from_jsonl,
}


def text(row: dict, key: str, may_be_empty: bool = False) -> str:
    """A field that is text."""
    if not isinstance(row[key], str) or not (row[key].strip() or may_be_empty):
        raise ValueError(f"field '{key}' is {row[key]!r}, not text")
    return row[key]


def with_choices(choices: list[str], right: str) -> dict:
    """The fields of multiple choice."""
    if right not in choices:
        raise ValueError(f"the answer {right!r} is not among the options {choices}")
    return {"choices": choices, "label": choices.index(right)}


def with_different_ids(items: list[dict], path: str) -> list[dict]:
    """The items themselves, if no id comes twice."""
    seen = set()
    for item in items:
        if item["id"] in seen:
            raise UserError(
                f"{path}: id {item['id']} comes twice",
                "an id names one item",
                "scores are joined by it",
                "give each row its own id",
            )
        seen.add(item["id"])
    return items


if __name__ == "__main__":
    stage.run(main)
