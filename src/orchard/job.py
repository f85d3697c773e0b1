"""What a Snakemake job runs: DVC's reproduction of one stage.

python -m orchard.job STAGE
"""

import io
import json
import re
import sys
from pathlib import Path

from orchard import stage

LOCK_HEAD = "schema: '2.0'\nstages:\n"


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    Where a remote is named, DVC looks there before it runs a stage whose output is not here; without one it must not
    be asked to (it would fail instead of running the stage).
    """
    stage.die_with_parent()
    write_lock_whole()
    from dvc.cli import main
    from dvc.repo import Repo

    with Repo() as repo:
        pull = ["--pull"] if repo.config["core"].get("remote") else []
    return main(["--wait-for-lock", "repro", "--single-item", *pull, name])


def write_lock_whole() -> None:
    """Makes DVC put dvc.lock in place in one step, and write anew only what changed in it.

    DVC fills the file where it is, and a kill would leave it cut. Its YAML library keeps comments, of which dvc.lock
    has none, and takes 3 s of each job where there are 200 stages.
    """
    from dvc.utils.serialize import _common, _yaml  # no public way; requirements.lock pins it, tests/test_kill.py sees

    def dump(path, data, dumper, fs=None, **options) -> None:
        half = Path(f"{path}.half")
        half.write_text(lock_text(Path(path), data, dumper), encoding="utf-8")
        half.replace(path)

    _common._dump_data = dump
    _yaml.parse_yaml_for_update = _yaml.parse_yaml


def lock_text(path: Path, data: dict, dumper) -> str:
    """What DVC would write to dvc.lock, byte for byte; stages that are the same in the file are not dumped again."""
    from dvc.utils.serialize import loads_yaml

    old = path.read_text(encoding="utf-8") if path.exists() else ""
    before = loads_yaml(old).get("stages", {}) if old else {}
    head, *blocks = re.split(r"^(?=  \S)", old, flags=re.MULTILINE)  # a stage's name is indented by two
    if head != LOCK_HEAD or len(blocks) != len(before):
        return dumped(data, dumper)
    texts = dict(zip(before, blocks, strict=True))
    for name, entry in data["stages"].items():
        if name not in before or json.dumps(entry) != json.dumps(before[name]):
            texts[name] = dumped({"schema": data["schema"], "stages": {name: entry}}, dumper).removeprefix(LOCK_HEAD)
    return LOCK_HEAD + "".join(texts[name] for name in data["stages"])


def dumped(data: dict, dumper) -> str:
    """The text that DVC's dumper makes of the data."""
    stream = io.StringIO()
    dumper(data, stream)
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
