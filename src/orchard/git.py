"""What git says of the project."""

import subprocess

from orchard.errors import UserError


def run(*arguments: str) -> subprocess.CompletedProcess:
    """A git command's exit status and output; status 127 where git is not installed."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace")
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(arguments, 127, "", str(error))


def ask(*arguments: str) -> str:
    """What a git command prints; nothing where there is no repository."""
    return run(*arguments).stdout.strip()


def refuse_none(why: str) -> None:
    """Raises a UserError unless the working folder is in a git repository.

    Args:
        why: what a repository is needed for.
    """
    if run("rev-parse", "--git-dir").returncode:
        raise no_repository(why)


def no_repository(why: str) -> UserError:
    """The message for a folder that git does not keep."""
    said = run("rev-parse", "--git-dir").stderr.strip().partition("\n")[0]
    return UserError(
        found=f"no git repository here ({said or 'git can read it, but DVC cannot'})",
        rule="a project is a git repository, or DVC is told that it is none",
        why=why,
        fix="`git clone` the project instead of an archive of it; or, to run it without git, "
        "`dvc config --local core.no_scm true`",
    )
