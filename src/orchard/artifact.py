"""A model to be handed out by name: the checkpoint as it is, with its scores in its model card.

    python -m orchard.artifact NAME

dvc.yaml lists the names under ``artifacts``, so that `dvc artifacts get` finds them in another repository.
"""

import shutil
import sys

from orchard import stage


def main() -> None:
    name = sys.argv[1]
    model = stage.params("artifacts", name)
    stage.set_threads(1)
    import pandas

    from orchard import card

    scores = pandas.read_parquet(f"results/evals/{model}/scores.parquet")
    with stage.output(f"results/artifacts/{name}") as scratch:
        shutil.copytree(f"results/models/{model}", scratch, ignore=shutil.ignore_patterns(".snakemake_timestamp"))
        card.write(scratch, model, scores)


if __name__ == "__main__":
    stage.run(main)
