"""Projects that are shared: their caches, their remotes, and the objects in them."""

import json
import shutil
from pathlib import Path

from tests.helpers.project import Project
from tests.helpers.servers import Server

MODEL = "sft-nll-1"
TARGET = f"results/models/{MODEL}"  # five stages; tests/rerun/test_stories.py restores the whole study from a folder


def give_credentials(project: Project, server: Server) -> None:
    """What each user of a remote does once in a clone."""
    for key, value in server.credentials.items():
        project.run("dvc", "remote", "modify", "--local", "shared", key, value)


def with_cache(finished: Project, folder: Path) -> Project:
    """A clone that has all objects of the finished project in its cache, and nothing else."""
    project = finished.clone(folder)
    shutil.copytree(finished.folder / ".dvc/cache", folder / ".dvc/cache")
    return project


def cached(project: Project) -> list[Path]:
    """The objects of a project's cache."""
    return [*(project.folder / ".dvc/cache/files/md5").glob("*/*")]


def objects_of(project: Project, stage: str) -> list[str]:
    """The objects of a stage's only output, as paths in a cache: for a folder its list first."""
    oid = project.lock()[stage]["outs"][0]["md5"]
    names = [oid]
    if oid.endswith(".dir"):
        listing = project.folder / ".dvc/cache/files/md5" / oid[:2] / oid[2:]
        names += [entry["md5"] for entry in json.loads(listing.read_text())]
    return [f"{name[:2]}/{name[2:]}" for name in dict.fromkeys(names)]
