"""Draws up the report from all evaluations of the study.

python -m orchard.stages.report
"""

from orchard import paths
from orchard.report import build, evaluations
from orchard.stages import stage
from orchard.study.schema.report import Report


def main() -> None:
    asked, name = stage.params(Report, "report"), stage.params(str, "name")
    found = evaluations.read(paths.EVALUATIONS, asked.scores)
    with stage.output(paths.REPORT) as scratch:
        scratch.mkdir()
        build.write(scratch, name, asked, found)


if __name__ == "__main__":
    stage.run(main, is_named=False)
