"""What each stage of a study has to do, in multiples of what a rehearsal measures once for each kind of stage."""

from collections.abc import Iterator
from typing import NamedTuple

from orchard.estimate import amounts
from orchard.estimate.formulas import Shape
from orchard.models.finetuning import steps_of
from orchard.study.runs import Runs
from orchard.study.schema.base import Pretraining
from orchard.study.schema.common import count
from orchard.study.schema.evaluate import GenerationTask, NamedTask
from orchard.study.schema.prune import PruneRun, whole_layers
from orchard.study.schema.recover import EqualSteps
from orchard.study.schema.sft import SelectLikely, SelectStyles
from orchard.study.schema.study import Study

STEP = "step"  # the part of the stages that do one thing again and again
BY_TEXTS = ("block-influence", "angular")  # methods that read the calibration texts once
BY_LAYERS = ("perplexity",)  # and once without each layer


class Kind(NamedTuple):
    """Stages that cost alike, but for how much each has to do.

    Attributes:
        family: of stages.
        label: what sets them apart from others of the family.
        example: the run that is rehearsed.
        base: the name of the base model that they come from; empty where no model is in it.
    """

    family: str
    label: str
    example: str
    base: str


class Work(NamedTuple):
    """What a stage has to do.

    Attributes:
        stage: its name in DVC.
        kind: of which it is.
        times: for each part of the work, how often it is done; what is done once is no part.
        layers: of its model; 0 where no model is in it.
    """

    stage: str
    kind: Kind
    times: dict[str, float]
    layers: int


class Amounts:
    """A study with what is needed to count.

    Args:
        study: the study.
        runs: its runs, expanded.
        shapes: of each base model, by its name in the study.
    """

    def __init__(self, study: Study, runs: Runs, shapes: dict[str, Shape]):
        self.study, self.runs, self.shapes = study, runs, shapes
        self.roots = roots(runs)
        self.notes: dict[str, str] = {}  # what was assumed or measured of the length of responses, by what it is of

    def base(self, model: str) -> str:
        """The base that a model comes from, by its name in the study."""
        return self.roots[model]

    def share(self, base: str, layers: int) -> float:
        """What a token costs a model of so many layers, as a share of the base's."""
        return self.shapes[base].deep(layers).working / self.shapes[base].working

    def note(self, what: str, length: amounts.Length) -> float:
        """Notes a length; returns its share of the longest."""
        self.notes[what] = f"{length.mean:.0f} tokens a response, {length.origin}"
        return length.share


def roots(runs: Runs) -> dict[str, str]:
    """The base that each model of all layers comes from, by its name in the study."""
    found = {
        f"base-{name}": name.removesuffix(f"-{run.seed}") if run.seed is not None else name
        for name, run in runs["base"].items()
    }
    found |= {f"sft-{name}": found[run.base] for name, run in runs["sft"].items()}
    return found | {f"rl-{name}": found[run.start] for name, run in runs["rl"].items()}


def of_study(known: Amounts) -> list[Work]:
    """The work of every stage of a study, in the order of families."""
    return [work for family in FAMILIES.values() for work in family(known)]


# Data


def generate(known: Amounts) -> Iterator[Work]:
    for name in known.study.data.generate:
        yield Work(f"generate@{name}", Kind("generate", name, name, ""), {}, 0)


def ingest(known: Amounts) -> Iterator[Work]:
    for name in known.study.data.ingest:
        yield Work(f"ingest@{name}", Kind("ingest", name, name, ""), {}, 0)


# Models


def base(known: Amounts) -> Iterator[Work]:
    first: dict[str, str] = {}
    for name, run in known.runs["base"].items():
        root = known.base(f"base-{name}")
        kind = Kind("base", root, first.setdefault(root, name), root)
        times = {STEP: run.settings.steps} if isinstance(run.settings, Pretraining) else {}
        yield Work(f"base@{name}", kind, times, known.shapes[root].layers)


def behave(known: Amounts) -> Iterator[Work]:
    for name, policy in known.study.behave.items():
        root, rows = known.base(policy.model), amounts.count(known.study, policy.prompts)
        share = 1.0
        if policy.kind == "model":
            share = known.note(f"behave {name}", amounts.of_policy(name, policy.sampling.max_new_tokens))
        yield Work(f"behave@{name}", Kind("behave", name, name, root), {STEP: rows * share}, known.shapes[root].layers)


def sft(known: Amounts) -> Iterator[Work]:
    first: dict[tuple, str] = {}
    for name, run in known.runs["sft"].items():
        root, objective = known.base(run.base), known.study.sft.objectives[run.objective]
        label = f"{run.objective} on {run.data}"
        kind = Kind("sft", label, first.setdefault((label, root), name), root)
        trainer = known.study.sft.trainer
        steps = 0 if objective.loss == "none" else steps_of(kept(known, run), trainer.batch_size, trainer.epochs)
        yield Work(f"sft@{name}", kind, {STEP: steps}, known.shapes[root].layers)


def kept(known: Amounts, run) -> int:
    """The rows that an arm of SFT learns from."""
    policy, select = known.study.behave[run.data], known.study.sft.objectives[run.objective].select
    rows = amounts.count(known.study, policy.prompts)
    if isinstance(select, SelectLikely):
        return max(1, round(select.keep * rows))
    if isinstance(select, SelectStyles) and policy.kind == "scripted":
        return max(1, round(sum(policy.styles.get(style, 0) for style in select.styles) * rows))
    return rows


def rl(known: Amounts) -> Iterator[Work]:
    for recipe, own in known.study.rl.recipes.items():
        runs = {name: run for name, run in known.runs["rl"].items() if run.recipe == recipe}
        first: dict[str, str] = {}
        share = known.note(f"rl {recipe}", amounts.of_rl(runs, own.max_new_tokens)) if runs else 1
        for name in runs:
            root = known.base(f"rl-{name}")
            kind = Kind("rl", recipe, first.setdefault(root, name), root)
            yield Work(f"rl@{name}", kind, {STEP: own.steps * share}, known.shapes[root].layers)


def search(known: Amounts) -> Iterator[Work]:
    first: dict[str, str] = {}
    for name, run in known.runs["search"].items():
        root = known.base(run.of)
        layers = known.shapes[root].layers
        count = max(whole_layers(ratio, layers) or 0 for ratio in run.ratios)
        kind = Kind("search", "greedy", first.setdefault(root, name), root)
        yield Work(f"search@{name}", kind, {STEP: sum(rounds(layers, count))}, layers)


def rounds(layers: int, count: int) -> list[float]:
    """What each round of a search costs, the first as 1: each candidate passes the layers above the one it lacks."""
    return [((layers - gone) / layers) ** 2 for gone in range(count)]


def prune(known: Amounts) -> Iterator[Work]:
    first: dict[tuple, str] = {}
    texts = amounts.count(known.study, known.study.prune.calibration.items) if known.study.prune.calibration else 0
    for name, run in known.runs["prune"].items():
        root = known.base(run.of)
        layers, method = known.shapes[root].layers, run.method
        label = "by texts" if method in BY_TEXTS else method if method in BY_LAYERS else "without texts"
        times = {STEP: texts * (layers if method in BY_LAYERS else 1)} if label != "without texts" else {}
        kind = Kind("prune", label, first.setdefault((label, root), name), root)
        yield Work(f"prune@{name}", kind, times, layers - dropped(known, run))


def dropped(known: Amounts, run: PruneRun) -> int:
    """The layers that a pruned model lacks."""
    return whole_layers(run.ratio, known.shapes[known.base(run.of)].layers) or 0


def respond(known: Amounts) -> Iterator[Work]:
    first: dict[tuple, str] = {}
    rows = amounts.count(known.study, known.study.recover.prompts) if known.study.recover.prompts else 0
    for name, run in known.runs["respond"].items():
        root, author = known.base(run.of), known.study.recover.responses[run.author]
        kind = Kind("respond", run.author, first.setdefault((run.author, root), name), root)
        is_model = author.kind == "model"
        share = known.note(f"respond {run.author}", of_author(known, run.author)) if is_model else 0
        yield Work(f"respond@{name}", kind, {STEP: rows * share} if is_model else {}, known.shapes[root].layers)


def of_author(known: Amounts, author: str) -> amounts.Length:
    """The length of an author's responses; of one that is no model it is that of the rows themselves."""
    own = known.study.recover.responses[author]
    if own.kind != "model":
        return amounts.Length(1, 1, "of given rows")
    names = [name for name, run in known.runs["respond"].items() if run.author == author]
    return amounts.of_responses(names, own.max_new_tokens)


def recover(known: Amounts) -> Iterator[Work]:
    first: dict[tuple, str] = {}
    for name, run in known.runs["recover"].items():
        root = known.base(run.of)
        layers = known.shapes[root].layers
        left = layers - (whole_layers(run.ratio, layers) or 0)
        kind = Kind("recover", run.author, first.setdefault((run.author, root), name), root)
        times = {STEP: recovery_steps(known, run) * known.share(root, left)}
        yield Work(f"recover@{name}", kind, times, left)


def recovery_steps(known: Amounts, run) -> int:
    """The optimizer steps of a recovery; a budget of tokens takes as many rows of the mean length as make it up."""
    block = known.study.recover
    amount, rows = block.budgets[run.budget].amount, amounts.count(known.study, block.prompts)
    if isinstance(amount, EqualSteps):
        return steps_of(min(rows, amount.rows or rows), block.trainer.batch_size, amount.epochs)
    length = of_author(known, run.author)
    mean = length.mean if block.responses[run.author].kind == "model" else GIVEN_ANSWER
    return steps_of(-(-amount.tokens // round(mean)), block.trainer.batch_size, 1)


GIVEN_ANSWER = 50  # tokens of a response that comes with its prompt: ours, for budgets of tokens alone


def evaluate(known: Amounts) -> Iterator[Work]:
    first: dict[tuple[str, str], str] = {}
    models, times = depths(known), {}
    for name, run in known.runs["evaluate"].items():
        root, layers = models[run.model]
        layers -= run.layer is not None
        kind = Kind("evaluate", f"{root}, suite {run.suite}", first.setdefault((root, run.suite), name), root)
        if run.suite not in times:
            times[run.suite] = tasks(known, run.suite)
        own = times[run.suite]
        share = known.share(root, layers)
        yield Work(f"evaluate@{name}", kind, {title: items * share for title, items in own.items()}, layers)


def tasks(known: Amounts, suite: str) -> dict[str, float]:
    """For each task of a suite its items; of a task that writes, fewer as responses are short."""
    found, asked = {}, known.study.evaluate.suite(suite)
    for title, task in asked.tasks.items():
        if isinstance(task, NamedTask):
            continue
        items = amounts.count(known.study, task.items)
        items = count(asked.limit_of(task), items)
        if isinstance(task, GenerationTask):
            length = amounts.of_task(title, known.runs["evaluate"], task.max_new_tokens)
            items *= known.note(f"evaluate {title}", length)
        found[title] = items
    return found


def depths(known: Amounts) -> dict[str, tuple[str, int]]:
    """The base and the number of layers of every model of a study."""
    found = {model: (root, known.shapes[root].layers) for model, root in known.roots.items()}
    for name, run in known.runs["prune"].items():
        root, layers = found[run.of]
        found[f"prune-{name}"] = root, layers - dropped(known, run)
    return found | {f"recover-{name}": found[run.pruned] for name, run in known.runs["recover"].items()}


# Stages in which no model computes, and which are not rehearsed


def artifact(known: Amounts) -> Iterator[Work]:
    models = depths(known)
    for name, run in known.runs["artifact"].items():
        root, layers = models[run.model]
        yield Work(f"artifact@{name}", Kind("artifact", "", name, root), {}, layers)


def others(family: str):
    """The work of a family of stages that is not rehearsed."""

    def works(known: Amounts) -> Iterator[Work]:
        names = {"fetch": known.study.data.fetch, "report": [""]}.get(family) or known.runs.get(family, {})
        for name in names:
            stage = f"{family}@{name}" if name else family
            yield Work(stage, Kind(family, "", "", ""), {}, 0)

    return works


FAMILIES = {
    "fetch": others("fetch"),
    "sample": others("sample"),  # shards: their work counts as that of the stage that joins them
    "generate": generate,
    "ingest": ingest,
    "base": base,
    "behave": behave,
    "sft": sft,
    "rl": rl,
    "search": search,
    "prune": prune,
    "respond": respond,
    "mix": others("mix"),
    "recover": recover,
    "evaluate": evaluate,
    "artifact": artifact,
    "report": others("report"),
}
