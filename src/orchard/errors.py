"""The one kind of error that a user's mistake gives, and the fix that most of them share."""

import difflib
from collections.abc import Iterable
from typing import Any

CONTINUED = "\n" + 8 * " "  # a line within a part, which cannot pass for another part
LONGEST_SHOWN = 80  # characters


class UserError(Exception):
    """A mistake in a config or an input, as one message: value found, rule, reason, fix.

    Args:
        found: what was found, and where.
        rule: the rule that it breaks.
        why: why the rule exists.
        fix: what to change.
    """

    def __init__(self, *, found: str, rule: str, why: str, fix: str):
        parts = (printable(part).replace("\n", CONTINUED) for part in (found, rule, why, fix))
        super().__init__("found: {}\n rule: {}\n  why: {}\n  fix: {}".format(*parts))


def printable(text: str) -> str:
    """A text in which nothing but line breaks and tabs steers a terminal: all else that has no glyph is written out.

    Control characters could hide or forge what stands there, marks of direction turn it round, and a lone surrogate
    cannot be printed at all.
    """
    signs = (
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode() for sign in str(text)
    )
    return "".join(signs)


def shown(value: Any) -> str:
    """A value as a message shows it: in Python's form, at most 80 characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} of very many levels"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A fix that suggests the nearest known name, or lists all.

    Args:
        name: what was found.
        known: what could have been meant.
        otherwise: the fix where nothing is near.
    """
    known = list(known)
    if near := difflib.get_close_matches(name, known, 1):
        return f"did you mean {near[0]!r}?"
    return otherwise or f"name one of these: {', '.join(sorted(known)) or 'there is none yet, so add it'}"
