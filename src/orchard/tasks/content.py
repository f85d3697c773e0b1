"""What a row asks, however it is written: by it two sets are told to hold the same question."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from orchard.tasks import conversations

# What formats put around a question: it says nothing, and another format puts other words there.
BEFORE = re.compile(r"^(question|problem|q)\s*:\s*")
BEHIND = re.compile(r"\s*(answer|solution|a)\s*:$")


class Content(NamedTuple):
    """What is asked.

    Attributes:
        prompt: in small letters, without a format's words, and with single spaces.
        choices: the same of the choices; none where it is not multiple choice.
    """

    prompt: str
    choices: frozenset[str]


def of(row: dict) -> Content:
    """The content of a row with a prompt or messages, perhaps with choices."""
    asked = conversations.text_of(row["messages"]) if row.get("messages") else row["prompt"]
    prompt = BEHIND.sub("", BEFORE.sub("", plain(asked)))
    return Content(prompt, frozenset(map(plain, row.get("choices") or ())))


def plain(text: str) -> str:
    """A text in small letters, with single spaces, in Unicode's composed form."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def shared(rows: Iterable[dict], others: Iterable[dict]) -> list[dict]:
    """Those rows that others ask as well: the same prompt and, where both have choices, the same choices.

    Without a prompt the choices are all that is asked.
    """
    known: dict[str, set[frozenset[str]]] = defaultdict(set)
    for other in map(of, others):
        known[other.prompt].add(other.choices)
    return [row for row in rows if _is_known(of(row), known)]


def _is_known(content: Content, known: dict[str, set[frozenset[str]]]) -> bool:
    choices = known.get(content.prompt, set())
    if content.choices in choices and (content.prompt or content.choices):
        return True
    return bool(content.prompt and choices and (not content.choices or frozenset() in choices))


def digest(row: dict) -> str:
    """A short hash of what a row asks: its prompt, or without one its choices."""
    prompt, choices = of(row)
    return hashlib.sha256((prompt or "\n".join(sorted(choices))).encode()).hexdigest()[:16]
