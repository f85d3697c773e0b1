"""A study on nine chains of arithmetic, which searches, prunes and recovers a random model of four layers.

All functions work in the working folder; a test makes the study by the fixture ``small_study``.
"""

from pathlib import Path

from orchard import jsonl, paths
from orchard.stages import respond
from orchard.stages.prune import __main__ as prune
from orchard.stages.search import __main__ as search
from orchard.study.schema.prune import Calibration, PruneRun, SearchRun, Selection, SelectionChoice
from orchard.study.schema.recover import (
    Budget,
    EqualSteps,
    EqualTokens,
    GivenAuthor,
    MixedAuthors,
    ModelAuthor,
    RecoveryTrainer,
    RespondRun,
    StyleAuthor,
)
from orchard.tasks import generated, registry
from tests.helpers.llama import random_llama, save_base
from tests.helpers.studies import write_params

MODEL = "base-random"
ITEMS = Path("items.jsonl")
CALIBRATION = Calibration(items=str(ITEMS), batch_size=4)
SELECTION = Selection(batch_size=8, tasks={"answers": SelectionChoice(kind="likelihood", items=str(ITEMS))})
TRAINER = RecoveryTrainer(batch_size=4, learning_rate=1e-3, schedule="constant", save_steps=2)
AMOUNTS = {
    "steps": EqualSteps(kind="equal-steps", epochs=2),
    "few": EqualSteps(kind="equal-steps", rows=5),
    "tokens": EqualTokens(kind="equal-tokens", tokens=300),
}
ITSELF = ModelAuthor(kind="model", seed=1, temperature=1.0, max_new_tokens=4, batch_size=8)
AUTHORS = {
    "open": StyleAuthor(kind="style", style="D"),
    "self": ITSELF,
    "right": ITSELF.model_copy(update={"keep_correct_only": True}),
    "whole": ITSELF.model_copy(update={"keep_cut": False}),
    "given": GivenAuthor(kind="given"),
    "mixed": MixedAuthors(kind="mixed", of=["open", "self"], seed=1),
}


def make() -> None:
    """Writes the model, the items and the study."""
    save_base(random_llama(), paths.model(MODEL))
    items = [generated.make_item("calc", f"calc {n} + {n + 1} - {n} :", n, "calibration") for n in range(9)]
    jsonl.write(ITEMS, registry.stamped(items))
    write()


def write(prompts: str = str(ITEMS), **changes) -> None:
    """Writes params.yaml; ``changes`` go into how recovery trains."""
    write_params(
        {
            "prune.calibration": CALIBRATION.model_dump(),
            "prune.selection": SELECTION.model_dump(),
            "recover.prompts": prompts,
            "recover.responses": {name: author.model_dump() for name, author in AUTHORS.items()},
            "recover.budgets": {
                name: Budget(of=["open"], amount=amount).model_dump() for name, amount in AMOUNTS.items()
            },
            "recover.trainer": TRAINER.model_copy(update=changes).model_dump(),
        }
    )


def searched(*ratios: int | float) -> Path:
    """Runs the search stage; returns the folder of the search."""
    search.main(MODEL, SearchRun(of=MODEL, ratios=list(ratios)))
    return paths.search(MODEL)


def pruned(method: str, ratio: int | float = 1) -> Path:
    """Runs the prune stage; returns the model's folder."""
    source = paths.search(MODEL) if method == "greedy" else ITEMS
    prune.main(f"{MODEL}-{method}-{ratio}", PruneRun(of=MODEL, method=method, ratio=ratio, chosen_on=str(source)))
    return paths.model(f"prune-{MODEL}-{method}-{ratio}")


def responses_of(author: str) -> list[dict]:
    """Runs the respond stage; returns what it wrote."""
    respond.main(f"{MODEL}-{author}", RespondRun(of=MODEL, author=author))
    return jsonl.read(paths.responses(f"{MODEL}-{author}"))
