"""A model to be handed out by name: the checkpoint as it is, or with its adapter merged, and its scores in the card.

    python -m orchard.stages.artifact NAME --model MODEL --scores FOLDER

dvc.yaml lists the names under ``artifacts``, so that `dvc artifacts get` finds them in another repository.
"""

import shutil

import pandas

from orchard import paths
from orchard.models import adapters, card, record, whole
from orchard.stages import stage
from orchard.study.schema.artifacts import ArtifactRun


def main(role: str, run: ArtifactRun) -> None:
    files = sorted(paths.evaluation(run.scores or run.model).rglob("scores.parquet"))  # one for each suite
    scores = pandas.concat(map(pandas.read_parquet, files), ignore_index=True)
    with stage.output(paths.artifact(role)) as scratch:
        if adapters.is_kept(paths.model(run.model)):
            whole.write(paths.model(run.model), scratch)
        else:
            shutil.copytree(paths.model(run.model), scratch, ignore=shutil.ignore_patterns(record.NOT_CONTENT))
        card.write(scratch, run.model, scores)


if __name__ == "__main__":
    stage.run(main, ArtifactRun)
