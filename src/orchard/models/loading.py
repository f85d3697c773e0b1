"""What the study says of how models are held in memory (its block ``loading``)."""

from orchard import paths, yamls
from orchard.study.schema.loading import Loading


def settings() -> Loading:
    """What params.yaml says; where it says nothing, or there is none, the defaults of the schema."""
    tree = yamls.read(paths.PARAMS) if paths.PARAMS.is_file() else {}
    return Loading.model_validate(tree.get("loading", {}))
