"""What a Snakemake job runs: DVC's reproduction of one stage.

python -m orchard.job STAGE
"""

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from orchard import restore, stage
from orchard.errors import UserError

LOCK_HEAD = "schema: '2.0'\nstages:\n"


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    What can be restored is brought into DVC's cache first (orchard.restore), so DVC itself need not ask the remote: it
    would fetch the whole run cache for each stage.
    """
    stage.die_with_parent()
    write_lock_whole()
    from dvc.cli import main

    try:
        restore.bring(name)
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return main(["--wait-for-lock", "repro", "--single-item", name])


def write_lock_whole() -> None:
    """Makes DVC put dvc.lock in place in one step, and write anew only what changed in it; the bytes are DVC's own.

    DVC fills the file where it is, and a kill would leave it cut. Its YAML library keeps comments, of which dvc.lock
    has none, and takes 3 s of each job where there are 200 stages.
    """
    from dvc.utils.serialize import _yaml  # no public way; requirements.lock pins it, tests/test_kill.py sees

    @contextlib.contextmanager
    def modify(path, parser, dumper, fs=None) -> Iterator[dict]:
        path = Path(path)
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        data = _yaml.loads_yaml(old) or {}
        before = as_json(data)
        yield data
        half = Path(f"{path}.half")
        half.write_text(lock_text(old, before, data, dumper), encoding="utf-8")
        half.replace(path)

    _yaml._modify_data = modify


def as_json(data: dict) -> dict[str, str]:
    """The stages of dvc.lock, each as a string: 1, 1.0 and true are equal in Python and not in a file."""
    return {name: json.dumps(entry) for name, entry in data.get("stages", {}).items()}


def lock_text(old: str, before: dict[str, str], data: dict, dumper) -> str:
    """The text of a dvc.lock; stages that are as they were keep their lines.

    Args:
        old: the text before.
        before: its stages (``as_json``).
        data: the content now.
        dumper: DVC's own, which writes data to a stream.
    """
    head, *blocks = lock_blocks(old)
    if head != LOCK_HEAD or len(blocks) != len(before):
        return dumped(data, dumper)
    texts = dict(zip(before, blocks, strict=True))
    for name, entry in as_json(data).items():
        if entry != before.get(name):
            alone = {"schema": data["schema"], "stages": {name: data["stages"][name]}}
            texts[name] = dumped(alone, dumper).removeprefix(LOCK_HEAD)
    return LOCK_HEAD + "".join(texts[name] for name in data["stages"])


def lock_blocks(text: str) -> list[str]:
    """The head of a dvc.lock's text, then the lines of each stage, whose name is indented by two."""
    return re.split(r"^(?=  \S)", text, flags=re.MULTILINE)


def dumped(data: dict, dumper) -> str:
    """The text that DVC's dumper makes of the data."""
    stream = io.StringIO()
    dumper(data, stream)
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
