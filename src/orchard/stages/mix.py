"""Recovery data mixed of two authors' responses: for each prompt that of one of them, drawn with equal probability.

python -m orchard.stages.mix NAME --of MODEL --author AUTHOR --first RESPONSES --second RESPONSES
"""

import random

from orchard import jsonl, paths
from orchard.stages import stage
from orchard.study.schema.recover import MixedAuthors, MixRun


def main(name: str, run: MixRun) -> None:
    author = stage.params(MixedAuthors, "recover", "responses", run.author)
    first, second = (jsonl.read(paths.responses(part)) for part in (run.first, run.second))
    with stage.output(paths.responses(name)) as scratch:
        jsonl.write(scratch, mixed(first, second, author.seed))


def mixed(first: list[dict], second: list[dict], seed: int) -> list[dict]:
    """One row per prompt, in the order of ``first``; where a filter left one author's answer alone, that one's."""
    rng, of_second = random.Random(seed), {row["id"]: row for row in second}
    answered = {row["id"] for row in first}
    rows = [rng.choice([row, of_second.get(row["id"], row)]) for row in first]
    return rows + [row for row in second if row["id"] not in answered]


if __name__ == "__main__":
    stage.run(main, MixRun, computes=False)
