"""The one kind of error that a user's mistake gives, the rule that all stages share, and the fix that most share."""

import difflib
import errno
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


# What the machine refuses, and what helps. The rule is the same for all: what a run needs of it is there.
MACHINE = {
    errno.ENOSPC: "free some space there (`df -h`), or put the folder on another disk by a link",
    errno.EDQUOT: "free some of your quota there, or put the folder on another disk by a link",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f unlimited`)",
    errno.EROFS: "work in a copy on a disk that can be written (`git clone`)",
    errno.EACCES: "give your user the right to write there (`ls -ld`, `chown`), or work in a clone of your own",
    errno.EPERM: "give your user the right to write there (`ls -ld`, `chown`), or work in a clone of your own",
    errno.ENOTDIR: "remove the file that stands where a folder is needed, or correct the variable that names it",
    errno.EMFILE: "raise the limit of open files (`ulimit -n 4096`)",
    errno.EAGAIN: "raise the limit of processes (`ulimit -u`), or run fewer jobs at once (`--cores`)",
    errno.ENOMEM: "raise the limit of memory (`ulimit -v`, mem_mb on a cluster), or run fewer jobs at once (`--cores`)",
    errno.EIO: "look after the disk (`dmesg`)",
}


def of_machine(error: Exception) -> UserError | None:
    """The message for what the machine refuses: space, rights, memory; None if the error is of another kind."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # the latter is torch's RuntimeError
        error = OSError(errno.ENOMEM, "the memory is used up")
    if not (isinstance(error, OSError) and error.errno in MACHINE):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return UserError(
        found=f"{where}{error.strerror}",
        rule="what a run needs of the machine is there",
        why="nothing is written by halves, so the work stops here; what is finished is kept, and the next run goes on",
        fix=MACHINE[error.errno],
    )
