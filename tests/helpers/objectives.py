"""What the tests of objectives share: settings, rows of the scripted teacher, a trainer with few steps."""

import random
from pathlib import Path

import torch

from orchard.models import packing
from orchard.models.finetuning import adapter, sft_arguments
from orchard.stages import behave
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft import dataset
from orchard.stages.sft.trainer import BehaviorCollator, ObjectiveTrainer
from orchard.study.schema.behave import ScriptedPolicy
from orchard.study.schema.sft import LastTokens, Objective, PearWeights, SftTrainer
from orchard.tasks import generated
from tests.helpers.llama import random_llama


def pear_weights(form: str = "token", block: int | None = None, **settings) -> PearWeights:
    """PEAR's weights in a form; a length of blocks goes to the form that has one."""
    return PearWeights(kind="pear", form=form, block=block if form == "block" else None, **settings)


PEAR = pear_weights()
PEAR_OF_ONE = pear_weights(clip=[0.0, 0.0], gamma=1.0)  # every weight is 1
TRAINER = SftTrainer(batch_size=8, schedule="linear", epochs=1)
TEACHER = ScriptedPolicy(
    kind="scripted",
    model="base-random",
    prompts="prompts.jsonl",
    seed=3,
    styles={"D": 0.5, "C": 0.3, "H": 0.2},
    foreign_words=2,
    top_k=3,
)


def objective(loss: str = "nll", weights: PearWeights | LastTokens | None = None) -> Objective:
    """An objective that learns from all rows."""
    return Objective(loss=loss, weights=weights, learning_rate=1e-3)


def teacher_rows(count: int, **changes) -> list[dict]:
    """Rows of the scripted teacher, of ragged lengths; ``changes`` go into its settings."""
    prompts = generated.sample_items(random.Random(1), "prompts", count, {"calc": 0.8, "fact": 0.2}, [1, 3])
    return behave.from_script(TEACHER.model_copy(update=changes), prompts, make_tokenizer(), Silent())


def make_trainer(
    folder: Path,
    rows: list[dict],
    goal: Objective,
    model=None,
    behavior_model=None,
    learning_rate: float | None = None,
    **changes,
) -> ObjectiveTrainer:
    """The stage's trainer; ``changes`` go into its settings.

    A ``learning_rate`` stands in for the objective's. It may be 0, which an objective's may not.
    """
    tokenizer = make_tokenizer()
    rate = goal.learning_rate if learning_rate is None else learning_rate
    common = TRAINER.model_copy(update=changes)
    model = model or random_llama()
    return ObjectiveTrainer(
        model=model,
        objective=goal,
        behavior_model=behavior_model,
        args=sft_arguments(common, common.epochs, rate, 5, folder, goal.loss),
        train_dataset=dataset.examples(rows, with_top=goal.loss == "kl-stored"),
        data_collator=packing.collator(BehaviorCollator(pad_token_id=tokenizer.pad_token_id), common.packing, model),
        processing_class=tokenizer,
        peft_config=adapter(common.lora),
    )


def train(trainer) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The loss of each step, and the weights at the end."""
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return losses, {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}


def assert_same(found: tuple, expected: tuple, tolerance: float = 0.0) -> None:
    """Two results of `train` are equal, up to an absolute tolerance."""
    (losses, weights), (expected_losses, expected_weights) = found, expected
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected_losses), rtol=0, atol=tolerance)
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=tolerance)


class Silent:
    """A progress that nobody reads."""

    def step(self, done: int | None = None) -> None:
        pass
