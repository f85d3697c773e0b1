"""The runs of every stage, worked out from the study.

dvc.yaml reads them from params.yaml, so that no rule and no stage has to look anything up.
"""

from orchard import paths
from orchard.study.schema.artifacts import ArtifactRun
from orchard.study.schema.base import Base
from orchard.study.schema.common import Run
from orchard.study.schema.evaluate import EvaluateRun
from orchard.study.schema.prune import Prune, PruneRun, SearchRun
from orchard.study.schema.recover import MixRun, Recover, RecoverRun, RespondRun
from orchard.study.schema.rl import Rl, RlRun
from orchard.study.schema.sft import Sft, SftRun
from orchard.study.schema.study import Study

Runs = dict[str, dict[str, Run]]  # for each family of stages, its runs by name


def expand(study: Study) -> Runs:
    """What runs: for each family of stages the runs by name, each with what its command and its inputs need."""
    runs: Runs = {"sft": sft(study.sft)}
    runs["rl"] = rl(study.rl, runs["sft"])
    runs["search"] = search(study.prune)
    runs["prune"] = prune(study.prune) | skip(study.prune, layers(study.base, runs))
    runs["respond"], runs["mix"] = respond(study.recover), mix(study.recover)
    runs["recover"] = recover(study.recover)
    runs["evaluate"] = {name: EvaluateRun(model=name) for name in models(study.base, runs)}
    runs["artifact"] = {role: ArtifactRun(model=name) for role, name in study.artifacts if name}
    return runs


def sft(block: Sft) -> dict[str, SftRun]:
    """Each arm with each seed."""
    return {
        f"{name}-{seed}": SftRun(arm=name, objective=arm.objective, base=arm.base, data=arm.data, seed=seed)
        for name, arm in block.arms.items()
        for seed in block.own_seeds.get(name, block.seeds)
    }


def rl(block: Rl, starts: dict[str, SftRun]) -> dict[str, RlRun]:
    """Each recipe from each SFT checkpoint of its arms."""
    return {
        f"{name}-{start}": RlRun(recipe=name, arm=run.arm, seed=run.seed, start=f"sft-{start}", prompts=recipe.prompts)
        for name, recipe in block.recipes.items()
        for start, run in starts.items()
        if block.arms.get(name) == "all" or run.arm in block.arms.get(name, [])
    }


def search(block: Prune) -> dict[str, SearchRun]:
    """One greedy search per model, up to the highest ratio: lower ones drop the layers that it dropped first."""
    if "greedy" not in block.methods:
        return {}
    return {of: SearchRun(of=of, ratios=block.ratios) for of in block.of}


def prune(block: Prune | Recover) -> dict[str, PruneRun]:
    """Each method at each ratio, of each model, with what the choice of layers rests on."""
    calibration = block.calibration.items if isinstance(block, Prune) and block.calibration else ""
    return {
        f"{of}-{method}-{ratio}": PruneRun(
            of=of,
            method=method,
            ratio=ratio,
            chosen_on=str(paths.search(of)) if method == "greedy" else calibration,
        )
        for of in block.of
        for method in block.methods
        for ratio in block.ratios
    }


def skip(block: Prune, depths: dict[str, int]) -> dict[str, PruneRun]:
    """Each layer alone, of each model of the sweep."""
    return {
        f"{of}-skip-{layer}": PruneRun(
            of=of, method="skip", layer=layer, chosen_on=block.calibration.items if block.calibration else ""
        )
        for of in block.skip
        for layer in range(depths.get(of, 0))
    }


def layers(bases: dict[str, Base], runs: Runs) -> dict[str, int]:
    """The models that can be pruned or imitated, and the number of layers of each."""
    depths = {f"base-{name}": base.model.layers for name, base in bases.items()}
    depths |= {f"sft-{name}": depths[run.base] for name, run in runs["sft"].items() if run.base in depths}
    return depths | {f"rl-{name}": depths[run.start] for name, run in runs["rl"].items() if run.start in depths}


def authors(block: Recover) -> tuple[list[str], list[str]]:
    """The authors who write for recovery, and the mixtures of two of them, as far as a budget needs them."""
    used = dict.fromkeys(author for budget in block.budgets.values() for author in budget.of)
    known = {author: block.responses[author] for author in used if author in block.responses}
    mixtures = [author for author, own in known.items() if own.kind == "mixed"]
    writing = [author for author in known if author not in mixtures]
    return list(dict.fromkeys([*writing, *(part for name in mixtures for part in known[name].of)])), mixtures


def respond(block: Recover) -> dict[str, RespondRun]:
    """Each author's responses to the prompts, per unpruned model."""
    writing, _ = authors(block)
    return {f"{of}-{author}": RespondRun(of=of, author=author) for of in block.of for author in writing}


def mix(block: Recover) -> dict[str, MixRun]:
    """Each mixture of two authors' responses, per unpruned model."""
    _, mixtures = authors(block)
    return {
        f"{of}-{author}": MixRun(of=of, author=author, first=f"{of}-{first}", second=f"{of}-{second}")
        for of in block.of
        for author in mixtures
        for first, second in [block.responses[author].of]
    }


def recover(block: Recover) -> dict[str, RecoverRun]:
    """Each author within each budget with each seed, of each pruned model to be recovered."""
    return {
        f"{pruned}-{author}-{name}-{seed}": RecoverRun(
            of=run.of,
            method=run.method,
            ratio=run.ratio,
            author=author,
            budget=name,
            seed=seed,
            pruned=f"prune-{pruned}",
            responses=f"{run.of}-{author}",
        )
        for pruned, run in prune(block).items()
        for name, budget in block.budgets.items()
        for author in budget.of
        for seed in block.seeds
    }


def models(bases: dict[str, Base], runs: Runs) -> list[str]:
    """The names of all models of a study."""
    trained = [f"{family}-{name}" for family in ("sft", "rl", "prune", "recover") for name in runs[family]]
    return [*(f"base-{name}" for name in bases), *trained]
