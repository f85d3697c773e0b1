"""What the tests of objectives share: settings, rows of the scripted teacher, a trainer with few steps."""

import random
from pathlib import Path

import torch

from orchard.stages import behave
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft import dataset
from orchard.stages.sft.trainer import BehaviorCollator, ObjectiveTrainer
from orchard.tasks import items
from orchard.models.training import adapter, sft_arguments
from tests.llama import random_llama

PEAR = {"kind": "pear", "form": "token", "block": None, "gamma": 0.999, "clip": [-0.08, 0.3],
        "log_weight_clip": [-10.0, 5.0], "shuffle": None, "normalize": False}  # fmt: skip
TRAINER = {"batch_size": 8, "accumulation": 1, "gradient_checkpointing": False, "lora": None, "epochs": 1,
           "schedule": "linear", "warmup_steps": 0, "save_steps": 500}  # fmt: skip
TEACHER = {"kind": "scripted", "seed": 3, "styles": {"D": 0.5, "C": 0.3, "H": 0.2}, "foreign_words": 2, "top_k": 3}


def objective(loss: str = "nll", weights: dict | None = None) -> dict:
    """An objective's settings, as the config has them."""
    return {"loss": loss, "weights": weights, "select": None, "learning_rate": 1e-3}


def teacher_rows(count: int, **changes) -> list[dict]:
    """Rows of the scripted teacher, of ragged lengths."""
    prompts = items.sample_items(random.Random(1), "prompts", count, {"calc": 0.8, "fact": 0.2}, [1, 3])
    return behave.from_script(TEACHER | changes, prompts, make_tokenizer(), "", Silent())


def make_trainer(folder: Path, rows: list[dict], goal: dict, model=None, behavior_model=None, **changes):
    """The stage's trainer; ``changes`` go into its settings, a learning rate too."""
    tokenizer = make_tokenizer()
    rate = changes.pop("learning_rate", goal["learning_rate"])
    settings = TRAINER | changes
    return ObjectiveTrainer(
        model=model or random_llama(),
        objective=goal,
        behavior_model=behavior_model,
        args=sft_arguments(settings, rate, 5, folder, goal["loss"]),
        train_dataset=dataset.examples(rows, with_top=goal["loss"] == "kl-stored"),
        data_collator=BehaviorCollator(pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
        peft_config=adapter(settings["lora"]),
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
