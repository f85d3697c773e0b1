"""The block ``artifacts``: the models that are handed out by name."""

from pydantic import Field

from orchard.study.schema.common import Block, ModelRun, Text


class Artifacts(Block):
    """The models to be handed out by name, with their scores in the model card; null: none.

    The names are those that dvc.yaml lists under ``artifacts``.
    """

    base: Text | None = Field(None, description="a base model")
    sft: Text | None = Field(None, description="a model after SFT")
    rl: Text | None = Field(None, description="a model after RL")
    pruned: Text | None = Field(None, description="a model with layers dropped")
    recovered: Text | None = Field(None, description="a model finetuned after layers were dropped")


class ArtifactRun(ModelRun):
    """One artifact.

    Attributes:
        model: which is handed out.
        scores: the folder of all that it scored, in the folder of all evaluations; empty: by its name.
    """

    model: str
    scores: str = ""
