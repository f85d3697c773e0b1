"""What blocks of the config are made of: the strict base class, and the types that several blocks share."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
LIMIT = "limit"  # the type of Pydantic's error for a broken Limit; its context holds rule and why
MISTAKES = "mistakes"  # the type of Pydantic's error for a rule of ours; its context holds each Mistake
TYPES_ALONE = {"types_alone": True}  # a context for model_validate in which these rules are left out


class Mistake(NamedTuple):
    """A broken rule within one block.

    Attributes:
        found: what was found; the block's key is put in front of it.
        rule: the rule that it breaks.
        why: why the rule exists.
        fix: what to change.
    """

    found: str
    rule: str
    why: str
    fix: str


def refuse(mistakes: list[Mistake], info: ValidationInfo) -> None:
    """Raises Pydantic's error for broken rules, if there are any and the context wants them."""
    if mistakes and info.context != TYPES_ALONE:
        raise PydanticCustomError(MISTAKES, "broken rules", {MISTAKES: mistakes})


class Block(BaseModel):
    """A mapping of the config: known keys only, no conversion of types, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _keeps_its_rules(self, info: ValidationInfo):
        refuse(list(self.mistakes()), info)
        return self

    def mistakes(self) -> Iterator[Mistake]:
        """What is wrong within this block alone; blocks with rules of their own override it."""
        yield from ()


class Run(BaseModel):
    """The options of one run of a stage, converted from its command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelRun(Run):
    """A run that loads a model.

    Attributes:
        weights: what it reads beside the model's folder. Of an adapter (LoRA), the folder of the model that it changes;
            of any other, the model's own record, since dvc.yaml has a place for one path. A stage that joins what was
            sampled in shards reads these.
    """

    weights: str = ""

    @property
    def beside(self) -> list[Path]:
        """The path that it reads beside the model's folder, if it says one."""
        return [Path(self.weights)] if self.weights else []


def _without_repeats(values: list, info: ValidationInfo) -> list:
    repeated = sorted({value for value in values if values.count(value) > 1})
    refuse(
        [
            Mistake(
                f": {value!r} {values.count(value)} times",
                "a list has nothing twice",
                "two stages would write the same output, or one result would count twice",
                f"remove one {value!r}",
            )
            for value in repeated
        ],
        info,
    )
    return values


def _sum_to_one(shares: dict[str, float], info: ValidationInfo) -> dict[str, float]:
    total = sum(shares.values())
    mistake = Mistake(
        f": the shares sum to {total:g}",
        "they sum to 1",
        "they are the shares of one whole",
        f"change them, for example {next(iter(shares))} by {1 - total:+g}",
    )
    refuse([] if math.isclose(total, 1, abs_tol=1e-6) else [mistake], info)
    return shares


@dataclass(frozen=True)
class Limit:
    """A bound on a value that belongs to its type: where it is broken, no other rule of the study is tried.

    Args:
        holds: whether a value keeps it.
        rule: in words.
        why: the reason.
        keyword: the same in JSON schema, as a keyword and its value.
    """

    holds: Callable[[Any], bool]
    rule: str
    why: str
    keyword: tuple[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict:
        return handler(schema) | dict([self.keyword])

    def _checked(self, value: Any) -> Any:
        if not self.holds(value):
            raise PydanticCustomError(LIMIT, "{rule}", {"rule": self.rule, "why": self.why})
        return value


def at_most(limit: int, why: str) -> Limit:
    """A bound on what can be: a size beyond it is a slip, or somebody's wish to fill the memory of who reads it."""
    return Limit(lambda value: value <= limit, f"it is at most {limit:,}", why, ("maximum", limit))


def shaped(pattern: str, rule: str, why: str) -> Limit:
    """A pattern that a text matches as a whole."""
    return Limit(lambda value: bool(re.fullmatch(pattern, value)), rule, why, ("pattern", f"^(?:{pattern})$"))


Unique = AfterValidator(_without_repeats)  # a list that makes stages, or names tasks: has nothing twice

Name = Annotated[str, Field(pattern=NAME)]
Text = Annotated[str, Field(min_length=1)]
# Numbers of steps, of rows a step, and the like.
_YEARS = at_most(10**9, "each is worked through by itself, and more would take years")
Natural = Annotated[int, Field(ge=1), _YEARS]
Count = Annotated[int, Field(ge=0), _YEARS]
Layers = Annotated[
    int, Field(ge=1), at_most(1000, "the deepest published language models have some 130; checks count each layer")
]
Width = Annotated[
    int, Field(ge=1), at_most(2**18, "the widest published matrix has 2**18 rows, those of a vocabulary (Gemma)")
]
Length = Annotated[int, Field(ge=1), at_most(10**7, "the longest published context has 10**7 tokens (Llama 4 Scout)")]
Rows = Annotated[int, Field(ge=1), at_most(10**7, "a set is held in memory as a whole")]
Samples = Annotated[int, Field(ge=1), at_most(10**4, "an item's responses stand in one row")]
Threads = Annotated[int, Field(ge=1), at_most(1024, "no machine has more cores, and each thread takes memory")]
Place = Annotated[
    Text,
    shaped(
        r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+",
        "a path is one line of text without control characters",
        "it is written into model cards and messages",
    ),
]
License = Annotated[
    Text,
    shaped(
        r"(?!(?:yes|no|on|off|true|false|null|y|n)$)(?:0bsd|[a-z][a-z0-9.+-]{0,63})",
        "it is a name of small letters, digits and the signs . + -, as apache-2.0",
        "it is written into the YAML of model cards, which the hub reads",
    ),
]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Rate = Annotated[float, Field(gt=0)]
Temperature = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Shares = Annotated[dict[str, Share], Field(min_length=1), AfterValidator(_sum_to_one)]
Dtype = Literal["float32", "bfloat16"]
EngineName = Literal["static", "continuous", "vllm"]
ENGINE = Field(
    "static",
    description="what runs the model; static: batches of a fixed size, the same bits on a CPU; continuous: "
    "transformers' continuous batching; vllm: a server that the stage starts (`make vllm`)",
)
Schedule = Literal["constant", "constant_with_warmup", "linear", "cosine"]

# The seed of a random choice stands in its name, because it must stand in the names of the outputs.
Method = Annotated[str, Field(pattern=r"^(reverse|block-influence|angular|perplexity|greedy|random-[1-9][0-9]*)$")]


def _count_or_share(given: Any) -> str:
    """Which of the two a pruning ratio is. The tags must not equal any key: a message skips parts that are no keys."""
    return "a count" if isinstance(given, int) else "a share"


Portion = Annotated[
    Annotated[Natural, Tag("a count")] | Annotated[float, Field(gt=0, lt=1), Tag("a share")],
    Discriminator(_count_or_share),
]


def count(portion: int | float | None, total: int) -> int:
    """How many of some items a portion is: a number of them at most, a share rounded up; None: all of them."""
    if portion is None:
        return total
    return min(portion, total) if isinstance(portion, int) else math.ceil(portion * total)


def _number(given: Any) -> Any:
    """A ratio of a command line: digits alone are a number of layers, anything else is a share."""
    return (int(given) if given.isdigit() else float(given)) if isinstance(given, str) else given


Ratio = Annotated[
    Annotated[Natural, Tag("a count")] | Annotated[float, Field(ge=0, lt=1), Tag("a share")],
    Discriminator(_count_or_share),
]
_SomeRatios = Annotated[list[Ratio], Unique]


def _one_list_or_each(given: Any) -> str:
    """How ratios are said. As of `_count_or_share`, the tags equal no key."""
    return "for each model" if isinstance(given, dict) else "for all models"


Ratios = Annotated[
    Annotated[_SomeRatios, Tag("for all models")] | Annotated[dict[Text, _SomeRatios], Tag("for each model")],
    Discriminator(_one_list_or_each),
]
RunRatio = Annotated[int | float, BeforeValidator(_number)]


Way = Literal["data", "fsdp"]


class Ways(Block):
    """How several GPUs of one job share its work, for each family of stages that train."""

    base: Way = Field("data", description="of pretraining here")
    sft: Way = Field("data", description="of supervised finetuning")
    rl: Way = Field("data", description="of reinforcement learning")
    recover: Way = Field("data", description="of the finetuning of pruned models")


def _one_or_each(given: Any) -> str:
    """How the sharing of work is said. As of `_count_or_share`, the tags equal no key."""
    return "for each family" if isinstance(given, dict | Ways) else "for all"


Parallel = Annotated[
    Annotated[Way, Tag("for all")] | Annotated[Ways, Tag("for each family")], Discriminator(_one_or_each)
]


def way(parallel: Way | Ways, family: str) -> Way:
    """How several GPUs share the work of a stage of a family."""
    return parallel if isinstance(parallel, str) else getattr(parallel, family)


class FewShot(Block):
    """Worked examples before each question."""

    count: Annotated[Count, at_most(1000, "examples stand in one prompt")] = Field(
        0, description="number of examples before each question"
    )
    items: Text | None = Field(None, description="the set that they are taken from; null if and only if count is 0")

    def mistakes(self) -> Iterator[Mistake]:
        if (self.count == 0) != (self.items is None):
            yield Mistake(
                f": count {self.count}, items {self.items!r}",
                "items is null if and only if count is 0",
                "examples must come from somewhere, and a file that is not read misleads",
                "set both, or 0 and null",
            )


class Sampling(Block):
    """How responses are sampled from a model."""

    seed: Seed = Field(description="of the random numbers")
    temperature: Temperature = Field(description="0 is greedy decoding")
    top_p: Probability = Field(1.0, description="nucleus sampling; 1 is off")
    max_new_tokens: Length = Field(description="tokens per response at most")
    keep_cut: bool = Field(
        True,
        description="learn responses that max_new_tokens cut off, without an end of text, as neither paper leaves out "
        "the long ones; false: leave them out",
    )
    batch_size: Natural = Field(description="prompts per forward pass, where the engine does not choose it by itself")
    engine: EngineName = ENGINE


Shards = Annotated[
    Natural,
    Field(
        description="stages that sample side by side, each some batches of the prompts; any number gives the same rows"
    ),
]


class SampleRun(ModelRun):
    """A shard of what a model writes: so many batches of the prompts that one stage samples.

    Attributes:
        family: the stage that joins the shards: ``behave`` or ``respond``.
        of: its run.
        shard: its number, from 1 on.
        shards: how many there are.
        model: that is sampled from.
        prompts: a set, or a folder of them.
        sampling: how.
        top_k: of the most likely tokens to store at each place.
    """

    family: str
    of: str
    shard: int
    shards: int
    model: str
    prompts: str
    sampling: Sampling
    top_k: int = 0


class Lora(Block):
    """Low-rank adapters on every linear map, merged at the end."""

    rank: Width = Field(description="of the adapters")
    alpha: Rate = Field(description="the adapters' product is scaled by alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="before the adapters, while they train")


Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]


class Optimizer(Block):
    """AdamW and gradient clipping: what a library would choose, were it not named."""

    betas: Betas = Field([0.9, 0.999], description="of AdamW's moments; PyTorch's default (LLP: 0.9 and 0.99)")
    epsilon: Rate = Field(1e-8, description="AdamW's; PyTorch's default")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's; transformers' default (LLP: 1e-4)")
    max_gradient_norm: Annotated[float, Field(ge=0)] = Field(
        1.0, description="longer gradients are scaled down to it; 0: none is; transformers' default, and LLP's"
    )


class MaxLength(Block):
    """The longest row that is learnt, and what becomes of longer ones: none is cut."""

    tokens: Length = Field(description="of a row at most: prompt and response together")
    beyond: Literal["drop", "refuse"] = Field(
        "refuse", description="refuse: a longer row ends the stage; drop: it is left out, and the record counts it"
    )


class Training(Block):
    """What SFT, RL and recovery share: which weights learn, in how many parts a step is computed, at which rate."""

    accumulation: Natural = Field(1, description="parts that a step's rows are computed in, of equal size")
    gradient_checkpointing: bool = Field(
        False, description="recompute activations: less memory, more time, same result"
    )
    lora: Lora | None = Field(None, description="train adapters of low rank; null: every parameter is trained")
    optimizer: Optimizer = Field(default_factory=Optimizer, description="AdamW and gradient clipping")
    schedule: Schedule = Field(description="of the learning rate")
    warmup_steps: Count = Field(0, description="steps in which the learning rate rises from 0")
    save_steps: Natural = Field(500, description="steps between two resume states")

    def rows(self) -> tuple[str, int]:
        """How the rows of an optimizer step are said, and their number."""
        raise NotImplementedError

    def mistakes(self) -> Iterator[Mistake]:
        said, rows = self.rows()
        if rows % self.accumulation:
            yield Mistake(
                f": {said}, accumulation {self.accumulation}",
                "the rows of an optimizer step are a multiple of accumulation",
                "each part of them has the same number of rows",
                f"set accumulation to a divisor of {rows}",
            )
        if self.schedule == "constant" and self.warmup_steps:
            yield Mistake(
                f": schedule constant with warmup_steps {self.warmup_steps}",
                "the schedule `constant` has no warm-up",
                "transformers would silently ignore the warm-up",
                "write schedule: constant_with_warmup, or warmup_steps: 0",
            )


class Trainer(Training):
    """What every run of a finetuning stage has in common."""

    batch_size: Natural = Field(description="rows per optimizer step, on all GPUs together")
    max_length: MaxLength | None = Field(None, description="of the rows; null: any")
    packing: bool = Field(
        False, description="lay the rows of a step end to end, for less padding; each still reads itself alone"
    )

    def rows(self) -> tuple[str, int]:
        return f"batch_size {self.batch_size}", self.batch_size
