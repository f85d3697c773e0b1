"""Switching to another study: config.yaml extends it."""

from orchard import git, paths, yamls
from orchard.errors import UserError
from orchard.study import load, overlay, params

HEAD = """# yaml-language-server: $schema=docs/config.schema.json
# The active study: what it extends (a file of studies/), then what differs. `orchard config` prints the whole.
"""


def use(name: str, force: bool = False) -> str:
    """Makes config.yaml extend a study, and brings params.yaml up to date; returns the message for the user.

    Args:
        name: a file of studies/, without its suffix.
        force: replace a config.yaml that says more and stands in no commit.

    Raises:
        UserError: there is no such study, it breaks a rule, or what config.yaml says would be lost.
    """
    study = load.load(overlay.study_file(name, "orchard use"))
    if not force:
        _refuse_loss()
    paths.CONFIG.write_text(f"{HEAD}{overlay.EXTENDS}: {name}\n")
    params.write(study)
    return f"{paths.CONFIG} extends {name}. Next: `snakemake -n` shows what would run, `snakemake --cores all` runs it."


def _refuse_loss() -> None:
    """Raises a UserError if config.yaml says more than what it extends, and no commit has it."""
    if not paths.CONFIG.is_file() or set(yamls.read(paths.CONFIG) or {}) <= {overlay.EXTENDS}:
        return
    is_kept = not git.run("ls-files", "--error-unmatch", str(paths.CONFIG)).returncode
    if not is_kept or git.ask("status", "--porcelain", "--", str(paths.CONFIG)):
        raise UserError(
            found=f"{paths.CONFIG} says more than what it extends, and no commit has it",
            rule="a study that would be replaced is kept somewhere",
            why="it would be lost",
            fix=f"commit it, or copy it to {paths.STUDIES}/<name>.yaml, for `orchard use <name>`; or --force",
        )
