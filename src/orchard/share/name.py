"""Naming the DVC remote of the project."""

from pathlib import Path

from orchard import paths
from orchard.errors import UserError
from orchard.lineage import gate

REMOTE = "shared"  # DVC's name of the remote


def name(url: str) -> str:
    """Writes a remote into .dvc/config, which is committed, so that DVC hashes what it brings; returns what to do next.

    Args:
        url: a folder, or a URL that DVC knows.

    Raises:
        UserError: it is none, or has a password.
    """
    from dvc.cli import main

    if not url.strip() or not url.isprintable():
        raise UserError(
            found="no REMOTE" if not url.strip() else f"REMOTE={url!r}"[:200],
            rule="name one, in one line",
            why="outputs go there",
            fix="make share REMOTE=/path/or/url",
        )
    gate.refuse_password(REMOTE, url)
    gate.install()
    config = Path(paths.DVC_LOCAL)
    if not config.exists():
        config.touch(mode=0o600)  # so that it is no one else's to read when DVC writes a password into it
    for command in (
        ["add", "--quiet", "--force", "--default", "--", REMOTE, url],
        ["modify", "--quiet", REMOTE, "verify", "true"],
    ):
        if main(["remote", *command]):
            raise UserError(
                found=f"DVC does not take the remote {url!r}",
                rule="it is a folder, or a URL that DVC knows",
                why="outputs go there",
                fix="make share REMOTE=/path/or/url; DVC's own words stand above",
            )
    return f"the DVC remote is {url} (.dvc/config); settings with secrets: `dvc remote modify --local {REMOTE} ...`"
