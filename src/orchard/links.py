"""What is opened, written or moved under a name that anyone knows: never through a link, which would lead elsewhere."""

import errno
import os
from pathlib import Path
from typing import IO

from orchard.errors import UserError


def open_own(path: str | os.PathLike, mode: str) -> IO[str]:
    """Opens a text file that orchard keeps for itself, such as a lock or a stamp.

    Raises:
        UserError: a link stands there.
    """
    try:
        return open(
            path, mode, encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666)
        )
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise refused(Path(path)) from None
        raise


def write_own(path: str | os.PathLike, text: str) -> None:
    """Writes such a file anew.

    Raises:
        UserError: a link stands there.
    """
    with open_own(path, "w") as file:
        file.write(text)


def refuse(path: str | os.PathLike) -> None:
    """Raises a UserError if a path is a link, or a folder of the project that it lies in is one."""
    path = Path(path)
    above = [] if path.is_absolute() else list(path.parents)[-2::-1]
    for part in [*above, path]:
        if part.is_symlink():
            raise refused(part)


def refused(link: Path) -> UserError:
    """The message for a link where a file or folder of one's own should be."""
    return UserError(
        found=f"{link} is a link to {os.readlink(link)}",
        rule="nothing is moved, or written beside the outputs, through a link",
        why="it would land, overwrite or be deleted outside the project",
        fix=f"`rm {link}` if you do not know it; if it is yours, put a folder in its place, or move by hand",
    )
