"""A whole study: all blocks of the config."""

from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.artifacts import Artifacts
from orchard.study.schema.base import Base
from orchard.study.schema.behave import Policy
from orchard.study.schema.common import Block, Name, Parallel
from orchard.study.schema.data import Data
from orchard.study.schema.evaluate import Evaluate
from orchard.study.schema.loading import Loading
from orchard.study.schema.prune import Prune
from orchard.study.schema.recover import Recover
from orchard.study.schema.report import Report
from orchard.study.schema.rl import Rl
from orchard.study.schema.sft import Sft


class Study(Block):
    """A whole study."""

    name: Name = Field(description="what reports call it")
    # No stage has it as a parameter, nor the number of GPUs: both change roundings, and neither the method.
    parallel: Parallel = Field(
        "data",
        description="how several GPUs of one job share its work: a file of profiles/accelerate, for all stages that "
        "train or for each family of them",
    )
    arithmetic: Literal["portable", "fast"] = Field(
        "portable",
        description="portable: the same numbers on any x86-64 CPU with AVX2; fast: the fastest code of each machine, "
        "and GPUs, which round otherwise",
    )
    loading: Loading = Field(default_factory=Loading, description="how models are held in memory")
    data: Data = Field(default_factory=Data, description="where data comes from")
    base: Annotated[dict[Name, Base], Field(min_length=1)] = Field(description="base models, by name")
    behave: dict[Name, Policy] = Field(default_factory=dict, description="behaviour policies, by name")
    sft: Sft = Field(default_factory=Sft, description="supervised finetuning")
    rl: Rl = Field(default_factory=Rl, description="reinforcement learning")
    prune: Prune = Field(default_factory=Prune, description="layer pruning")
    recover: Recover = Field(default_factory=Recover, description="finetuning of pruned models")
    evaluate: Evaluate = Field(description="the tasks on which every model is measured")
    report: Report = Field(default_factory=Report, description="what the claims are tested on")
    artifacts: Artifacts = Field(default_factory=Artifacts, description="the models that are handed out by name")
