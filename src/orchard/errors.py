"""The one kind of error that a user's mistake gives, and the fix that most of them share."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a config or an input, as one message: value found, rule, reason, fix.

    Args:
        found: what was found, and where.
        rule: the rule that it breaks.
        why: why the rule exists.
        fix: what to change.
    """

    def __init__(self, *, found: str, rule: str, why: str, fix: str):
        super().__init__(f"found: {found}\n rule: {rule}\n  why: {why}\n  fix: {fix}")


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
