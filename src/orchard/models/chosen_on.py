"""Which prompts a choice of layers rests on, so that it can be shown that none of them is evaluated on.

A pruned model's folder holds their digests, and so does that of a model recovered from it.
"""

import json
from pathlib import Path

from orchard.tasks import content

FILE = "chosen_on.json"


def digests(rows: list[dict]) -> list[str]:
    """A short hash of each different question, in order: enough to tell whether two sets share any."""
    return sorted(set(map(content.digest, rows)))


def write(folder: Path, prompts: list[str]) -> None:
    """Writes the digests of the prompts that the choice of a model's layers rests on; an empty list: on none."""
    (folder / FILE).write_text(json.dumps(prompts) + "\n")


def read(folder: Path) -> list[str] | None:
    """The digests in a model's folder; None where the model is not pruned."""
    return json.loads((folder / FILE).read_text()) if (folder / FILE).is_file() else None


def overlap(folder: Path, rows: list[dict]) -> dict[str, int] | None:
    """How many prompts the choice of a model's layers rests on, and how many of them stand in some rows as well."""
    if (prompts := read(folder)) is None:
        return None
    return {"prompts": len(prompts), "shared": len(set(prompts) & set(digests(rows)))}
