"""A release: outputs pushed, the commit tagged, the report packed; what others start from."""

import re
import zipfile
from pathlib import Path

from orchard import git, paths
from orchard.errors import UserError
from orchard.lineage import gate, project
from orchard.share import push

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
    tags = [tag, *(f"{folder.name}@{tag}" for folder in sorted(paths.ARTIFACTS.glob("*")) if folder.is_dir())]
    refuse(tag, tags)
    push.push()
    packed = pack(tag)
    for name in tags:
        if (done := git.run("tag", "--annotate", name, "--message", f"Release {tag}")).returncode:
            raise UserError(
                found=f"git does not make the tag {name}: {' '.join(done.stderr.split())}",
                rule="a release is a tag",
                why="others find it by its tag; all is pushed, and the tags before this one stand",
                fix="do what git says; delete the tags of this version that stand (`git tag --delete`), then again",
            )
    return f"Tagged {', '.join(tags)}; the report is in {packed}. Next: git push --follow-tags"


def refuse(tag: str, tags: list[str]) -> None:
    """Raises a UserError unless all is as a release needs it; the cheap checks come first.

    Args:
        tag: the version.
        tags: all the tags that it makes.
    """
    if not VERSION.fullmatch(tag):
        raise UserError(
            found=f"TAG={tag!r}",
            rule="a release is a version: v, and three numbers with dots",
            why="`dvc artifacts get` finds the newest version of a checkpoint by these tags",
            fix="make release TAG=v1.0.0",
        )
    git.refuse_none("a release is a commit with a tag")
    if old := [name for name in tags if not git.run("rev-parse", "-q", "--verify", f"refs/tags/{name}").returncode]:
        raise UserError(
            found=f"the tag {old[0]} exists",
            rule="a release is a new tag",
            why="others may have what it names",
            fix="take another TAG",
        )
    if (who := git.run("var", "GIT_COMMITTER_IDENT")).returncode:
        raise UserError(
            found=f"git does not know who you are ({who.stderr.strip().rpartition(chr(10))[2]})",
            rule="a release has a maker",
            why="its tag says who made it",
            fix="`git config user.name NAME` and `git config user.email ADDRESS`",
        )
    if dirty := git.run("status", "--porcelain").stdout.splitlines():
        raise UserError(
            found=f"{len(dirty)} files differ from the commit ({dirty[0].strip()}, ...)",
            rule="a release is a commit",
            why="the tag would not name what you have here",
            fix="commit or take back the changes (`git status`)",
        )
    refuse_stale()


def refuse_stale() -> None:
    """Raises a UserError if there is no remote, or an output is missing or not of this commit's code and config."""
    with gate.repository() as repo:
        if not repo.config["core"].get("remote"):
            raise UserError(
                found="no DVC remote",
                rule="the outputs of a release are on a remote",
                why="git has none of them",
                fix="make share REMOTE=/path/or/url, then commit .dvc/config",
            )
    with project.opened() as opened:
        changed, behind = opened.to_start()
    if stale := changed + behind:
        raise UserError(
            found=f"{len(stale)} stages are stale or missing ({stale[0]}, ...)",
            rule="every output of a release is of its commit",
            why="the report would show other numbers than the commit gives",
            fix="`snakemake --cores all`, then commit dvc.lock",
        )


def pack(tag: str) -> Path:
    """Puts the report into release/orchard-<tag>.zip, index.html at its top."""
    paths.RELEASES.mkdir(exist_ok=True)
    packed = paths.RELEASES / f"orchard-{tag}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(paths.REPORT.rglob("*")):
            if file.is_file() and file.name != ".snakemake_timestamp":
                archive.write(file, file.relative_to(paths.REPORT))
    return packed
