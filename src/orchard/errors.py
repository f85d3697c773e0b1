"""The one kind of error that a user's mistake gives, the rule that all stages share, and the fix that most share."""

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


def refuse_none(count: int, found: str, fix: str) -> None:
    """Refuses the work of a stage that did nothing.

    Args:
        count: how much it did: steps, rows, tokens or items.
        found: what is said of none, and where.
        fix: what to change.

    Raises:
        UserError: the count is 0.
    """
    if count == 0:
        raise UserError(
            found=found,
            rule="a stage that ends well has done something",
            why="what it started from, or nothing, would pass for its result",
            fix=fix,
        )


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
