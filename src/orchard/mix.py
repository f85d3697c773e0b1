"""Recovery data mixed of two authors' responses: for each prompt that of one of them, drawn with equal chances.

python -m orchard.mix MODEL AUTHOR
"""

import random
import sys

from orchard import stage


def main() -> None:
    of, author = sys.argv[1:3]
    settings = stage.params("recover", author)
    first, second = (stage.read_jsonl(f"data/responses/{of}-{part}.jsonl") for part in settings["of"])
    with stage.output(f"data/responses/{of}-{author}.jsonl") as scratch:
        stage.write_jsonl(scratch, mixed(first, second, settings["seed"]))


def mixed(first: list[dict], second: list[dict], seed: int) -> list[dict]:
    """One row a prompt, in the order of ``first``; where a filter left one author's answer alone, that one's."""
    rng, of_second = random.Random(seed), {row["id"]: row for row in second}
    answered = {row["id"] for row in first}
    rows = [rng.choice([row, of_second.get(row["id"], row)]) for row in first]
    return rows + [row for row in second if row["id"] not in answered]


if __name__ == "__main__":
    stage.run(main)
