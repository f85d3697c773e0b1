r"""SYNTHETIC-2: problems with a verifiable answer (RL), and responses of a reasoning model that were verified (SFT).

Of its kinds of problems those of mathematics are judged here. A response's final answer is what it boxes.
"""

from typing import Any

from orchard import jsonl
from orchard.errors import shown
from orchard.tasks import conversations, fields
from orchard.tasks.boxes import last_box

JUDGED = "math"  # a part of the name of the types that are judged here


class RlRow(fields.Row):
    """A row of SYNTHETIC-2-RL."""

    task_type: fields.Name
    prompt: fields.Text
    verification_info: fields.Text | dict[str, Any]


class Verification(fields.Row):
    """What SYNTHETIC-2-RL says of a right answer."""

    ground_truth: fields.Answer


def from_rl(row: dict, name: str, number: int) -> dict:
    """An item of a row of SYNTHETIC-2-RL: the prompt as it stands, which says how the answer is written."""
    given = fields.read(RlRow, row)
    if JUDGED not in given.task_type:
        raise ValueError(
            f"task_type {given.task_type!r} is not judged here; name those of mathematics by `where: {{task_type: …}}`"
        )
    info = given.verification_info
    try:
        told = jsonl.parse(info) if isinstance(info, str) else info
    except ValueError as error:
        raise ValueError(f"field 'verification_info' is {shown(info)}, no JSON ({error})") from None
    final = fields.read(Verification, told).ground_truth
    return {
        "id": f"synthetic-2-rl-{name}-{number:05d}",
        "task": "math",
        "prompt": given.prompt,
        "answer": f"\\boxed{{{final}}}",
        "final": final,
    }


class SftRow(fields.Row):
    """A row of SYNTHETIC-2-SFT-verified."""

    task_type: fields.Name
    messages: list[dict[str, Any]]


def from_sft(row: dict, name: str, number: int) -> dict:
    """An item of a row of SYNTHETIC-2-SFT-verified: the last turn is the response, with the thoughts that it shows."""
    given = fields.read(SftRow, row)
    found = conversations.of(given.messages)
    if "response" not in found:
        raise ValueError("the last turn is not the assistant's: there is no response to learn from")
    final = last_box(found["response"]) if JUDGED in given.task_type else None
    judged = {"task": "math", "answer": f"\\boxed{{{final}}}", "final": final}
    return {
        "id": f"synthetic-2-sft-{name}-{number:05d}",
        **(judged if final else {"task": "synthetic-2", "answer": ""}),
        **found,
    }
