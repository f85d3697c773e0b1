"""The runs of every stage, worked out from the study.

dvc.yaml reads them from params.yaml, so that no rule and no stage has to look anything up.

A replicate is a chain: a pretrained model, and all that is trained, pruned and recovered from it. Its seed ends the
names of its models. A name without it stands for all replicates: rl-grpo-nll for rl-grpo-nll-1, rl-grpo-nll-2, and so
on.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchard import paths
from orchard.study import suites
from orchard.study.schema.artifacts import ArtifactRun
from orchard.study.schema.base import Base, BaseRun, Pretrained, Pretraining
from orchard.study.schema.behave import BehaveRun, Policy
from orchard.study.schema.common import TYPES_ALONE, Run, SampleRun
from orchard.study.schema.data import Data, FetchRun
from orchard.study.schema.evaluate import EvaluateRun
from orchard.study.schema.format import OWN
from orchard.study.schema.prune import ONE_LAYER, Prune, PruneRun, SearchRun
from orchard.study.schema.recover import MixRun, Recover, RecoverRun, RespondRun
from orchard.study.schema.rl import Rl, RlRun
from orchard.study.schema.sft import Sft, SftRun
from orchard.study.schema.study import Study

Runs = dict[str, dict[str, Run]]  # for each family of stages, its runs by name
Named = dict[str, list[str]]  # the models that a name stands for: one, or all replicates
RatiosOf = dict[str, list[int | float]]  # models with their pruning ratios
# The families whose runs are a ModelRun, and what their runs call the model that they load.
MODEL_OF = {"rl": "start", "search": "of", "prune": "of", "respond": "of"}
MODEL_OF |= dict.fromkeys(("behave", "sample", "evaluate", "artifact"), "model")


def expand(study: Study) -> Runs:
    """What runs: for each family of stages the runs by name, each with what its command and its inputs need."""
    runs = unpruned(study)
    named = replicates(runs)
    of, recovered = (ratios(block, named) for block in (study.prune, study.recover))
    runs["search"] = search(study.prune, of)
    runs["prune"] = prune(study.prune, of)
    runs["respond"], runs["mix"] = respond(study.recover, recovered), mix(study.recover, recovered)
    runs["behave"] = behave(study.behave)
    runs["sample"] = sample(study, runs["respond"])
    runs["recover"] = recover(study.recover, recovered)
    runs["fetch"] = fetch(study.data)
    runs["evaluate"] = suites.expand(study.evaluate, subjects(study, runs), named)
    runs["artifact"] = {
        role: ArtifactRun(model=name, scores=suites.scores_of(study.evaluate, name))
        for role, name in study.artifacts
        if name
    }
    return joining(with_weights(runs, adapters(study, runs)))


def fetch(data: Data) -> dict[str, FetchRun]:
    """Each thing from outside."""
    return {name: FetchRun(folder=paths.fetched(name, source.kind).as_posix()) for name, source in data.fetch.items()}


def unpruned(study: Study) -> Runs:
    """The runs that make models of all layers."""
    runs: Runs = {"base": base(study.base), "sft": sft(study.sft, study.base)}
    return runs | {"rl": rl(study.rl, runs["sft"])}


def base(bases: dict[str, Base]) -> dict[str, BaseRun]:
    """Each base model: of those that are pretrained, one for each seed."""
    found = {}
    for name, own in bases.items():
        if isinstance(own, Pretrained):
            settings = Pretraining.model_validate(own.model_dump(exclude={"seeds"}), context=TYPES_ALONE)
            found |= {f"{name}-{seed}": BaseRun(seed=seed, settings=settings) for seed in own.seeds}
        else:
            found[name] = BaseRun(settings=own, template=_hash(own.format.template))
    return found


def _hash(template: str | None) -> str | None:
    """The SHA-256 of a template's file; None where it is not from a file, or the file is not there (a mistake)."""
    if template in (None, OWN) or not Path(template).is_file():
        return None
    return hashlib.sha256(Path(template).read_bytes()).hexdigest()


def sft(block: Sft, bases: dict[str, Base]) -> dict[str, SftRun]:
    """Each arm from each replicate of its base; of a loaded base, with each seed of SFT."""
    return {
        f"{name}-{seed}": SftRun(arm=name, objective=arm.objective, base=start, data=arm.data, seed=seed, draw=arm.draw)
        for name, arm in block.arms.items()
        for seed, start in starts(arm.base, block.seeds, bases)
    }


def starts(name: str, seeds: list[int], bases: dict[str, Base]) -> Iterator[tuple[int, str]]:
    """The replicates of an arm of SFT: their seeds, each with the base model that it starts from."""
    own = bases.get(name.removeprefix("base-"))
    if isinstance(own, Pretrained):
        yield from ((seed, f"{name}-{seed}") for seed in own.seeds)
    else:
        yield from ((seed, name) for seed in seeds)


def rl(block: Rl, starts: dict[str, SftRun]) -> dict[str, RlRun]:
    """Each recipe from each SFT checkpoint of its arms."""
    return {
        f"{name}-{start}": RlRun(
            recipe=name, arm=run.arm, seed=run.seed, draw=run.draw, start=f"sft-{start}", prompts=recipe.prompts
        )
        for name, recipe in block.recipes.items()
        for start, run in starts.items()
        if block.arms.get(name) == "all" or run.arm in block.arms.get(name, [])
    }


def replicates(runs: Runs) -> Named:
    """The models of all layers, by their own names and, all replicates together, by the name without the seed."""
    found: Named = {}
    for family in ("base", "sft", "rl"):
        for name, run in runs[family].items():
            model = f"{family}-{name}"
            group = model if run.seed is None else model.removesuffix(f"-{run.seed}")
            for each in dict.fromkeys((group, model)):
                found.setdefault(each, []).append(model)
    return found


def chosen(names: Iterable[str], named: Named) -> list[str]:
    """The models that some names stand for, each once."""
    return list(dict.fromkeys(model for name in names for model in named.get(name, [])))


def ratios(block: Prune | Recover, named: Named) -> RatiosOf:
    """The models of a block, each with its ratios: those of the first name that stands for it."""
    found: RatiosOf = {}
    for name in block.of:
        own = block.ratios.get(name, []) if isinstance(block.ratios, dict) else block.ratios
        for model in named.get(name, []):
            found.setdefault(model, own)
    return found


def search(block: Prune, of: RatiosOf) -> dict[str, SearchRun]:
    """One greedy search per model, up to the highest ratio: lower ones drop the layers that it dropped first."""
    if "greedy" not in block.methods:
        return {}
    return {name: SearchRun(of=name, ratios=own) for name, own in of.items()}


def prune(block: Prune | Recover, of: RatiosOf) -> dict[str, PruneRun]:
    """Each method at each ratio, of each model, with what the choice of layers rests on."""
    calibration = block.calibration.items if isinstance(block, Prune) and block.calibration else ""
    return {
        f"{name}-{method}-{ratio}": PruneRun(
            of=name,
            method=method,
            ratio=ratio,
            chosen_on=str(paths.search(name)) if method == "greedy" else calibration,
        )
        for name, own in of.items()
        for method in block.methods
        for ratio in own
    }


def subjects(study: Study, runs: Runs) -> dict[str, EvaluateRun]:
    """All that is evaluated, by name: every model, and the views of the sweep over single layers."""
    views = skip(layers(runs), chosen(study.prune.skip, replicates(runs)))
    return {name: EvaluateRun(model=name) for name in models(runs)} | views


def skip(depths: dict[str, int], of: list[str]) -> dict[str, EvaluateRun]:
    """Each layer alone left out, of each model of the sweep: evaluated as views, which no stage writes."""
    return {
        f"prune-{name}-{ONE_LAYER}-{layer}": EvaluateRun(model=name, layer=layer)
        for name in of
        for layer in range(depths.get(name, 0))
    }


def layers(runs: Runs) -> dict[str, int]:
    """The models of all layers, and the number of layers of each."""
    depths = {f"base-{name}": run.settings.model.layers for name, run in runs["base"].items()}
    depths |= {f"sft-{name}": depths[run.base] for name, run in runs["sft"].items() if run.base in depths}
    return depths | {f"rl-{name}": depths[run.start] for name, run in runs["rl"].items() if run.start in depths}


def authors(block: Recover) -> tuple[list[str], list[str]]:
    """The authors who write for recovery, and the mixtures of two of them, as far as a budget needs them."""
    used = dict.fromkeys(author for budget in block.budgets.values() for author in budget.of)
    known = {author: block.responses[author] for author in used if author in block.responses}
    mixtures = [author for author, own in known.items() if own.kind == "mixed"]
    writing = [author for author in known if author not in mixtures]
    return list(dict.fromkeys([*writing, *(part for name in mixtures for part in known[name].of)])), mixtures


def respond(block: Recover, of: Iterable[str]) -> dict[str, RespondRun]:
    """Each author's responses to the prompts, per unpruned model."""
    writing, _ = authors(block)
    return {f"{name}-{author}": RespondRun(of=name, author=author) for name in of for author in writing}


def behave(policies: dict[str, Policy]) -> dict[str, BehaveRun]:
    """Each policy's data."""
    return {name: BehaveRun(model=policy.model, prompts=policy.prompts) for name, policy in policies.items()}


def sample(study: Study, answers: dict[str, RespondRun]) -> dict[str, SampleRun]:
    """The shards of all that models write for `behave` and `respond`, where there are several."""
    asked = [(name, policy, ()) for name, policy in study.behave.items()]
    asked += [(name, study.recover.responses[run.author], (run.of, study.recover.prompts or ""))
              for name, run in answers.items()]  # fmt: skip
    writing = [each for each in asked if getattr(each[1], "shards", 1) > 1]
    shards = [own.shard(name, *more, number + 1, own.shards) for name, own, more in writing
              for number in range(own.shards)]  # fmt: skip
    return {f"{run.family}-{run.of}-{run.shard}": run for run in shards}


def joining(runs: Runs) -> Runs:
    """The runs, in which those that join shards wait for these, and for no model's weights."""
    shards = {(run.family, run.of): str(paths.samples(run.family, run.of)) for run in runs["sample"].values()}
    return runs | {
        family: {
            name: run.model_copy(update={"weights": shards.get((family, name), run.weights)})
            for name, run in runs[family].items()
        }
        for family in ("behave", "respond")
    }


def mix(block: Recover, of: Iterable[str]) -> dict[str, MixRun]:
    """Each mixture of two authors' responses, per unpruned model."""
    _, mixtures = authors(block)
    return {
        f"{name}-{author}": MixRun(of=name, author=author, first=f"{name}-{first}", second=f"{name}-{second}")
        for name in of
        for author in mixtures
        for first, second in [block.responses[author].of]
    }


def recover(block: Recover, of: RatiosOf) -> dict[str, RecoverRun]:
    """Each author within each budget, of each pruned model to be recovered, once or several times."""
    return {
        f"{pruned}-{author}-{name}-{draw}": RecoverRun(
            of=run.of,
            method=run.method,
            ratio=run.ratio,
            author=author,
            budget=name,
            draw=draw,
            pruned=f"prune-{pruned}",
            responses=f"{run.of}-{author}",
        )
        for pruned, run in prune(block, of).items()
        for name, budget in block.budgets.items()
        for author in budget.of
        for draw in range(1, block.draws + 1)
    }


def models(runs: Runs) -> list[str]:
    """The names of all models of a study."""
    return [f"{family}-{name}" for family in ("base", "sft", "rl", "prune", "recover") for name in runs[family]]


# Adapters


def adapters(study: Study, runs: Runs) -> dict[str, str]:
    """The models that are kept as an adapter (LoRA), each with the model whose weights it changes.

    What LoRA makes of a model that is an adapter itself is whole (`orchard.models.folders.save_trained`).
    """
    found: dict[str, str] = {}
    if study.sft.trainer and study.sft.trainer.lora:
        untrained = {name for name, objective in study.sft.objectives.items() if objective.loss == "none"}
        found |= {f"sft-{name}": run.base for name, run in runs["sft"].items() if run.objective not in untrained}
    learning = {name for name, recipe in study.rl.recipes.items() if recipe.lora}
    found |= {
        f"rl-{name}": run.start for name, run in runs["rl"].items() if run.recipe in learning and run.start not in found
    }
    if study.recover.trainer and study.recover.trainer.lora:
        found |= {f"recover-{name}": run.pruned for name, run in runs.get("recover", {}).items()}
    return found


def with_weights(runs: Runs, adapters: dict[str, str]) -> Runs:
    """The runs, in which those that load a model say where its weights lie (see ModelRun)."""

    def weights(model: str) -> str:
        return str(paths.model(adapters[model]) if model in adapters else paths.model(model) / "record.json")

    return runs | {
        family: {
            name: run.model_copy(update={"weights": weights(getattr(run, key))}) for name, run in runs[family].items()
        }
        for family, key in MODEL_OF.items()
    }
