"""A DVC project of two stages, which make a file and a folder, with a remote that is a folder beside it."""

import hashlib
import json
import subprocess
from pathlib import Path

from orchard import yamls
from orchard.lineage import gate

FILE, FOLDER = "results/file.txt", "results/folder"
STAGES = {
    "file": {"cmd": f"mkdir -p results && cat source.txt > {FILE}", "deps": ["source.txt"], "outs": [FILE]},
    "folder": {
        "cmd": f"mkdir -p {FOLDER} && cp source.txt {FOLDER}/one && cp source.txt {FOLDER}/two",
        "deps": ["source.txt"],
        "outs": [FOLDER],
    },
}
CACHE = Path(".dvc/cache/files/md5")


def make(folder: Path) -> Path:
    """Makes it in a folder, runs both stages and pushes; returns the remote. A file beside the project is a victim."""
    for command in (["git", "init", "-q", folder], ["dvc", "init", "-q"]):
        subprocess.run(command, check=True, cwd=folder if folder.is_dir() else None)
    (folder / "source.txt").write_text("source")
    (folder / "dvc.yaml").write_text(yamls.dumps({"stages": STAGES}))
    (folder.parent / "victim").write_text("untouched")
    remote = folder.parent / "remote"
    for command in (["remote", "add", "-q", "-d", "shared", remote], ["repro", "-q"], ["push", "-q", "--run-cache"]):
        subprocess.run(["dvc", *command], check=True, cwd=folder)
    return remote


def put_object(content: bytes, cache: Path = CACHE, suffix: str = "") -> str:
    """Puts an object into a cache or remote; returns its name."""
    name = hashlib.md5(content).hexdigest() + suffix
    path = cache / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def put_list(files: list[dict], cache: Path = CACHE) -> str:
    """Puts a list of a folder's files into a cache or remote; returns its name."""
    return put_object(json.dumps(files).encode(), cache, ".dir")


def set_out(stage: str, **changes) -> None:
    """Changes what dvc.lock says of a stage's output."""
    tree = yamls.read(Path("dvc.lock"))
    tree["stages"][stage]["outs"][0].update(changes)
    Path("dvc.lock").write_text(yamls.dumps(tree))


def run_entries(cache: Path = Path(".dvc/cache")) -> list[Path]:
    """The entries of a run cache."""
    return sorted(file for file in (cache / "runs").rglob("*") if file.is_file())


def reproduce(name: str) -> None:
    """DVC's reproduction of one stage, as a job does it."""
    with gate.repository() as repo:
        repo.reproduce(name, single_item=True)
