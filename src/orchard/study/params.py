"""params.yaml: the whole study with its runs, as DVC reads it.

It is committed, and never written by hand: every run of Snakemake and `orchard check` bring it up to date.
"""

from orchard import paths, yamls
from orchard.errors import UserError
from orchard.study import runs, suites
from orchard.study.schema.study import Study

HEADER = "# The whole study and its runs, made from config.yaml by `orchard check` and by every run: do not edit.\n"
RUNS = "runs"
SUITES = "suites"  # beside the families of runs: what the evaluations of each suite depend on


def tree(study: Study) -> dict:
    """The content of params.yaml as plain Python."""
    families = {
        family: {name: run.model_dump(exclude_none=True) for name, run in members.items()}
        for family, members in runs.expand(study).items()
    }
    asked = {name: own.model_dump() for name, own in suites.settings(study.evaluate)}
    return study.model_dump() | {RUNS: families | {SUITES: asked}}


def text(study: Study) -> str:
    """The text of params.yaml."""
    return HEADER + yamls.dumps(tree(study))


def refuse_behind(study: Study) -> None:
    """Raises a UserError if params.yaml is not what a study implies."""
    if not paths.PARAMS.is_file() or paths.PARAMS.read_text(encoding="utf-8") != text(study):
        raise UserError(
            found=f"{paths.PARAMS} is not what {paths.CONFIG} implies",
            rule="DVC runs the study as config.yaml has it",
            why="DVC reads params.yaml alone: it would run the study before the edit, without its new runs",
            fix="`orchard check`, then the command again; or `snakemake --cores all`, which needs no check before it",
        )


def read() -> Study:
    """The study that params.yaml holds."""
    tree = yamls.read(paths.PARAMS)
    return Study.model_validate({key: value for key, value in tree.items() if key != RUNS})


def write(study: Study) -> None:
    """Brings params.yaml up to date."""
    wanted = text(study)
    if not paths.PARAMS.is_file() or paths.PARAMS.read_text(encoding="utf-8") != wanted:
        paths.PARAMS.write_text(wanted, encoding="utf-8")
