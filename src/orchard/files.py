"""Moving, removing and hashing files and folders, wherever they lie."""

import errno
import hashlib
import shutil
from pathlib import Path


def move(source: Path, target: Path) -> None:
    """Gives a file or folder another name, in one step: whoever looks sees all of it, or nothing.

    On another file system (a link to a scratch disk, a mount) it is copied beside the target first.

    Raises:
        OSError: it cannot be moved; the source is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        half = target.with_name(f".{target.name}.half")  # .dvcignore names these: one that a kill leaves is no content
        remove(half)
        _copy(source, half)
        half.rename(target)
        remove(source)


def _copy(source: Path, target: Path) -> None:
    """Copies a file, link or folder; an error names the target, which is what has no room."""
    try:
        if source.is_dir() and not source.is_symlink():
            target.mkdir()
            for each in source.iterdir():
                _copy(each, target / each.name)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def digest(file: Path, algorithm: str) -> str:
    """The hash of a file's content in hexadecimal; it is read in pieces, as a checkpoint may be larger than memory."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()


def remove(path: Path) -> None:
    """Removes a file, a link or a folder; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
