"""What TRL's GRPO trainer costs: the time of a step of the RL stage over that of a plain loop on the same rollouts.

    python benchmarks/rl_step.py --model tiny

The plain loop samples with transformers, asks the verifier, normalizes the rewards of each group and takes one step of
AdamW on TRL's default loss (dapo: a mean over all completion tokens). It starts from a copy of the model. Each of its
steps follows one of TRL's, in the same process, with the same prompts and the same draws, so that both learn the same;
how many responses of theirs are equal is printed.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import LogitsProcessorList, TrainerCallback

from orchard import jsonl
from orchard.models import folders
from orchard.stages.rl import __main__ as rl
from orchard.stages.rl.rollouts import Draws
from orchard.study.schema.rl import Recipe
from orchard.tasks import generated, registry
from shapes import HELP, load

RECIPE = Recipe(  # the default study's, no checkpoints in between
    prompts="prompts.jsonl",
    seed=1000,
    steps=1,
    prompts_per_step=24,
    samples_per_prompt=8,
    max_new_tokens=56,
    learning_rate=2e-4,
    save_steps=10**6,
)
REPLICATE = 1
WARM_UP = 1
TARGET = 1.3  # ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help=HELP)
    parser.add_argument("--steps", type=int, default=6, help="measured steps of each loop")
    parser.add_argument("--prompts", type=int, default=24, help="prompts of a step, each with 8 responses")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the stage uses one")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model, tokenizer = load(chosen.model)
    changes = {"steps": WARM_UP + chosen.steps, "prompts_per_step": chosen.prompts}
    recipe = RECIPE.model_copy(update=changes)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        items = generated.sample_items(random.Random(1), "prompts", 500, {"calc": 1}, [3, 6])
        jsonl.write(Path(recipe.prompts), registry.stamped(items))
        folders.save(model, tokenizer, Path("start"))
        turns = Turns(PlainLoop(model, tokenizer, recipe))
        trainer = rl.make_trainer(recipe, REPLICATE, folders.load_model("start"), tokenizer, Path("state"), "rl_step")
        trainer.reward_funcs = [turns.rewarded]
        trainer.add_callback(turns)
        trainer.train()
    print_table(chosen.model, turns)


class PlainLoop:
    """GRPO in a few lines.

    Args:
        model: trained in place.
        tokenizer: its tokenizer.
        recipe: settings of the RL stage.
    """

    def __init__(self, model, tokenizer, recipe: Recipe):
        self.model, self.tokenizer, self.recipe = model.train(), tokenizer, recipe
        rate = recipe.learning_rate
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0, fused=True)

    def step(self, number: int, prompts: list[str], given: list[str]) -> list[str]:
        """A step on prompts that stand as often as they have responses, and their items; returns the responses."""
        batch = self.tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(self.model.device)
        ids = self.sample(batch, number)
        start = batch["input_ids"].shape[1]
        mask = self.until_end(ids[:, start:])
        written = ids[:, start:] * mask + self.tokenizer.pad_token_id * ~mask
        responses = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        rewards = torch.tensor(reward(responses, given), device=ids.device)
        groups = rewards.view(-1, self.recipe.samples_per_prompt)
        advantages = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
        logps = self.logps(ids, torch.cat([batch["attention_mask"], mask.long()], dim=1), start)
        ratios = (logps - logps.detach()).exp()  # 1, but its gradient is that of the log-prob
        loss = -(ratios * advantages.view(-1, 1) * mask).sum() / mask.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return responses

    @torch.no_grad()
    def sample(self, batch: dict, number: int) -> torch.Tensor:
        """Token ids of prompts, padded on the left, and responses."""
        rows, places = len(batch["input_ids"]), self.recipe.max_new_tokens
        seed = (self.recipe.seed + REPLICATE, number)
        draws = Draws(seed, places, rows, slice(rows), self.recipe.temperature)
        return self.model.generate(
            **{name: batch[name] for name in ("input_ids", "attention_mask")},
            do_sample=True,
            temperature=self.recipe.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=places,
            pad_token_id=self.tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList([draws]),
        )

    def until_end(self, ids: torch.Tensor) -> torch.Tensor:
        """True up to the first end of text."""
        ends = ids == self.tokenizer.eos_token_id
        return (ends.cumsum(1) - ends.long()) == 0

    def logps(self, ids: torch.Tensor, mask: torch.Tensor, start: int) -> torch.Tensor:
        """The log-prob of each response token."""
        kept = ids.shape[1] - start
        logits = self.model(ids, attention_mask=mask, logits_to_keep=kept + 1, use_cache=False).logits[:, :-1]
        return -torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, start:], reduction="none")


def reward(responses: list[str], given: list[str]) -> list[float]:
    """The stage's reward, and 1 for an even number of words: a random model is never right, and would learn nothing."""
    verified = rl.right_or_wrong(responses, given)
    return [right + (len(response.split()) % 2 == 0) for right, response in zip(verified, responses, strict=True)]


class Turns(TrainerCallback):
    """Lets a plain loop take a step after each of TRL's, and notes the seconds of both."""

    def __init__(self, plain: PlainLoop):
        self.plain, self.seen = plain, {}
        self.seconds: dict[str, list[float]] = {"TRL": [], "plain": []}
        self.equal = self.total = 0
        self.left = time.perf_counter()

    def rewarded(self, prompts, completions, item, **_) -> list[float]:
        """The stage's reward, which also notes what TRL's step is about."""
        self.seen = {"prompts": prompts, "items": item, "completions": completions}
        return reward(completions, item)

    def on_step_end(self, args, state, control, **kwargs):
        self.note("TRL")
        self.left = time.perf_counter()
        responses = self.plain.step(state.global_step - 1, self.seen["prompts"], self.seen["items"])
        self.note("plain")
        self.equal += sum(ours == theirs for ours, theirs in zip(responses, self.seen["completions"], strict=True))
        self.total += len(responses)
        self.left = time.perf_counter()

    def on_train_begin(self, args, state, control, **kwargs):
        self.left = time.perf_counter()

    def note(self, loop: str) -> None:
        """Adds the time since the last turn to a loop's."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds[loop].append(time.perf_counter() - self.left)


def print_table(model: str, turns: Turns) -> None:
    """Seconds of a step of both loops, their ratio, and how alike their responses were."""
    medians = {loop: statistics.median(seconds[WARM_UP:]) for loop, seconds in turns.seconds.items()}
    print(f"{model}\n{'':12}{'s a step':>12}")
    for loop, seconds in medians.items():
        print(f"{loop:12}{seconds:12.3f}")
    print(f"{'ratio':12}{medians['TRL'] / medians['plain']:12.3f}")
    print(f"target: ratio ≤ {TARGET}; equal responses: {turns.equal} of {turns.total}")


if __name__ == "__main__":
    main()
