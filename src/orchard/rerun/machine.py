"""What a run needs of the machine, asked before the work: folders that it can write to, with some room."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from orchard import paths
from orchard.errors import MACHINE, UserError
from orchard.lineage import gate

ROOM = 2**20  # bytes that must fit into each folder: ours; with less, not even the log of a stage could be written


def refuse_unfit() -> None:
    """Raises a UserError if a folder that a run writes to cannot be written to, or is full; one message names all."""
    refused = [refusal for folder in _folders() if (refusal := _try(folder))]
    if refused:
        raise UserError(
            found="; ".join(f"{each.filename}: {each.strerror}" for each in refused),
            rule="a run can write to its folders, to those of DVC and to that for temporary files (TMPDIR)",
            why="it would fail after the work of its first stages",
            fix=MACHINE.get(refused[0].errno, "make these folders, or correct what names them"),
        )


def _folders() -> Iterator[Path]:
    yield from (Path(), paths.DATA, paths.RESULTS, paths.SCRATCH, paths.LOGS, paths.SNAKEMAKE)
    with gate.repository({"no_scm": True}) as repo:
        yield from map(Path, (repo.tmp_dir, repo.site_cache_dir, repo.cache.local.path))
    yield Path(os.environ.get("TMPDIR") or tempfile.gettempdir())


def _try(folder: Path) -> OSError | None:
    """Why nothing can be written into a folder; it is made if need be."""
    probe = folder / f".orchard-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(ROOM))
    except OSError as error:
        return OSError(error.errno, error.strerror, str(folder))
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return None
