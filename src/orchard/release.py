"""A release: outputs pushed, the commit tagged, the report packed; what others start from."""

import re
import subprocess
import zipfile
from pathlib import Path

from orchard import publish, share
from orchard.errors import UserError

ARTIFACTS = Path("results/artifacts")
RELEASES = Path("release")
VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")  # what `dvc artifacts get` takes for one


def release(tag: str) -> str:
    """Pushes every output to the DVC remote, packs the report and tags the commit; returns what to do next.

    Beside its own tag, a release has one for each artifact of the study, `rl@v1.0.0`, by which DVC finds it.

    Args:
        tag: the git tag, a new version.

    Raises:
        UserError: the tag is no new one, the working tree is dirty, a stage is stale, there is no remote, or the push
            failed. Nothing is tagged then.
    """
    refuse(tag)
    share.share()
    packed = pack(tag)
    tags = [tag, *(f"{folder.name}@{tag}" for folder in sorted(ARTIFACTS.glob("*")) if folder.is_dir())]
    for name in tags:
        subprocess.run(["git", "tag", "--annotate", name, "--message", f"Release {tag}"], check=True)
    return f"Tagged {', '.join(tags)}; the report is in {packed}. Next: git push --follow-tags"


def refuse(tag: str) -> None:
    """Raises a UserError unless all is as a release needs it; the cheap checks come first."""
    if not VERSION.fullmatch(tag):
        raise UserError(
            f"TAG={tag!r}",
            "a release is a version: v, and three numbers with dots",
            "`dvc artifacts get` finds the newest version of a checkpoint by these tags",
            "make release TAG=v1.0.0",
        )
    if not git("rev-parse", "--quiet", "--verify", f"refs/tags/{tag}").returncode:
        raise UserError(
            f"the tag {tag} exists", "a release is a new tag", "others may have what it names", "take another TAG"
        )
    if dirty := git("status", "--porcelain").stdout.splitlines():
        raise UserError(
            f"{len(dirty)} files differ from the commit ({dirty[0].strip()}, ...)",
            "a release is a commit",
            "the tag would not name what you have here",
            "commit or take back the changes (`git status`)",
        )
    refuse_stale()


def refuse_stale() -> None:
    """Raises a UserError if there is no remote, or an output is missing or not of this commit's code and config."""
    from dvc.repo import Repo

    from orchard import rerun

    with Repo() as repo:
        if not repo.config["core"].get("remote"):
            raise UserError(
                "no DVC remote",
                "the outputs of a release are on a remote",
                "git has none of them",
                "make share REMOTE=/path/or/url, then commit .dvc/config",
            )
    _, changed, behind = rerun.staleness()
    if stale := changed + behind:
        raise UserError(
            f"{len(stale)} stages are stale or missing ({stale[0]}, ...)",
            "every output of a release is of its commit",
            "the report would show other numbers than the commit gives",
            "`snakemake --cores all`, then commit dvc.lock",
        )


def pack(tag: str) -> Path:
    """Puts the report into release/orchard-<tag>.zip, index.html at its top."""
    RELEASES.mkdir(exist_ok=True)
    packed = RELEASES / f"orchard-{tag}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(publish.REPORT.rglob("*")):
            if file.is_file() and file.name != ".snakemake_timestamp":
                archive.write(file, file.relative_to(publish.REPORT))
    return packed


def git(*arguments: str) -> subprocess.CompletedProcess:
    """What git says and its exit status."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True)
