"""What YAML texts hold, kept in .dvc/tmp by the MD5 of the text, for all processes that read the same.

The parser takes 1.5 s per MB. The dvc.lock of a study with 2,000 stages has 9 MB, and each of its jobs would parse all
of params.yaml twice.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from orchard import links, paths, yamls

FOLDER = paths.DVC_SCRATCH / "parsed"
SPARE = 100  # texts that are kept beside the newest, whatever their number: ours, for other branches' files


def loads(text: str) -> Any:
    """The content of a YAML text as `orchard.yamls.loads` gives it.

    Raises:
        YAMLError: as `orchard.yamls.loads`.
        UserError: a link stands where the content would be kept.
    """
    file = FOLDER / _name(text)
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8"))
    tree = yamls.loads(text)
    with contextlib.suppress(TypeError, ValueError):  # of a value that JSON has not
        if json.loads(kept := json.dumps(tree, allow_nan=False)) == tree:
            _keep(file, kept)
    return tree


def read(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        UserError: as `orchard.yamls.read`.
    """
    with contextlib.suppress(OSError, UnicodeDecodeError, YAMLError):
        return loads(path.read_text(encoding="utf-8"))
    return yamls.read(path)


def forget_others(texts: Iterable[str]) -> None:
    """Removes what is kept of other texts, once there is more of these."""
    names, files = set(map(_name, texts)), list(FOLDER.glob("*"))
    if len(files) > 2 * len(names) + SPARE:
        for file in files:
            if file.name not in names:
                file.unlink(missing_ok=True)


def _name(text: str) -> str:
    return f"{hashlib.md5(text.encode()).hexdigest()}.json"


def _keep(file: Path, text: str) -> None:
    if not FOLDER.parent.parent.is_dir():  # no project of DVC's
        return
    with contextlib.suppress(OSError):  # a folder that cannot be written
        FOLDER.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(f".{os.getpid()}")
        links.write_own(half, text)
        half.replace(file)
