"""What git says of the project."""

import subprocess


def run(*arguments: str) -> subprocess.CompletedProcess:
    """A git command's exit status and output."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True)


def ask(*arguments: str) -> str:
    """What a git command prints; nothing where there is no repository."""
    return run(*arguments).stdout.strip()
