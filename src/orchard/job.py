"""What a Snakemake job runs: DVC's reproduction of one stage.

python -m orchard.job STAGE
"""

import contextlib
import copy
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from orchard import lockfile, restore, stage
from orchard.errors import UserError


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    What can be restored is brought into DVC's cache first (orchard.restore), so DVC itself need not ask the remote: it
    would fetch the whole run cache for each stage.
    """
    stage.die_with_parent()
    write_lock_whole()
    parse_once()
    from dvc.cli import main

    from orchard import locks

    locks.install()
    locks.mark_alive()
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
        data = _yaml.parse_yaml(old, path)
        before = lockfile.as_json(data)
        yield data
        half = Path(f"{path}.half")
        half.write_text(lockfile.changed_text(old, before, data, dumper), encoding="utf-8")
        half.replace(path)

    _yaml._modify_data = modify


def parse_once() -> None:
    """Makes DVC parse each text once a job, before it takes the lock: config.yaml nine times, dvc.lock by its stages.

    Under the lock, only what other jobs changed meanwhile is parsed: a job of a study with 200 sets holds it for 0.2
    CPU seconds instead of 0.6.
    """
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    whole = functools.cache(_yaml.parse_yaml)

    def parse(text: str, path, typ: str = "safe") -> dict:
        head, *stages = lockfile.blocks(text)
        if typ != "safe" or head != lockfile.HEAD:
            return copy.deepcopy(whole(text, str(path), typ))
        data = whole(f"{lockfile.HEAD}  none: null\n", "dvc.lock")
        entries = [whole(lines, "dvc.lock") for lines in stages]
        return copy.deepcopy(data | {"stages": {name: entry[name] for entry in entries for name in entry}})

    _yaml.parse_yaml = strictyaml.parse_yaml = parse
    for path in filter(Path.exists, map(Path, ("config.yaml", "runs.yaml", "dvc.yaml", "dvc.lock"))):
        parse(path.read_text(encoding="utf-8"), path)


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
