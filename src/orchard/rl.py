"""GRPO with verifiable rewards from one SFT checkpoint: the identical recipe for each start (PEAR, section 4).

python -m orchard.rl RECIPE ARM SEED
"""

import hashlib
import json
import sys
from pathlib import Path

from orchard import stage
from orchard.tasks import items

# TRL measures the KL from the start only where it counts. So small a coefficient is lost in rounding even beside
# gradients of 1e-20, so the weights are those of coefficient 0, bit for bit.
MEASURED_ONLY = 1e-30


def main() -> None:
    name, arm, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    recipe = stage.params("rl", "recipes", name)
    stage.set_threads(1)
    from orchard import card, models

    checkpoint, target = f"results/models/sft-{arm}-{seed}", f"results/models/rl-{name}-{arm}-{seed}"
    with stage.output(target) as scratch, stage.resumable(target) as state:
        tokenizer = models.load_tokenizer(checkpoint)
        trainer = make_trainer(recipe, seed, models.load_model(checkpoint), tokenizer, state, f"rl@{name}-{arm}-{seed}")
        from orchard.training import curve, train

        train(trainer, state)
        models.save(trainer.model, tokenizer, scratch)
        steps = curve(trainer.state.log_history, "reward")
        stage.write_jsonl(scratch / "curve.jsonl", steps)
        started = json.loads(Path(checkpoint, "record.json").read_text())
        facts = {key: started[key] for key in ("arm", "objective", "base", "data", "seed")}
        facts |= {"recipe": name, "recipe_hash": recipe_hash(recipe), "curve": course(steps)}
        facts["drift"] = models.drift(checkpoint, scratch)
        done = f"trained by GRPO on {recipe['prompts']}: recipe {name}, {recipe['steps']} steps, seed {seed}"
        facts |= card.lineage(done, checkpoint)
        stage.write_record(scratch, "rl", recipe, [checkpoint, recipe["prompts"]], **facts)
        card.write(scratch, f"rl-{name}-{arm}-{seed}")


def make_trainer(recipe: dict, seed: int, model, tokenizer, state, name: str):
    """TRL's GRPO trainer with the study's recipe; it loads the start once more, to tell the KL of each step from it.

    The RL seed is the recipe's own plus the number of the replicate, so it has nothing to do with the SFT seed.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from orchard.rollouts import SharedDraws
    from orchard.training import ProgressCallback, cpu_arguments, own_share

    prompts = stage.read_jsonl(recipe["prompts"])
    return GRPOTrainer(
        model=model,
        reward_funcs=partly_verified if recipe["partial_credit"] else verified,
        args=GRPOConfig(
            output_dir=str(state),
            max_steps=recipe["steps"],
            per_device_train_batch_size=own_share(recipe["prompts_per_step"] * recipe["samples_per_prompt"]),
            num_generations=recipe["samples_per_prompt"],
            max_completion_length=recipe["max_new_tokens"],
            temperature=recipe["temperature"],
            top_k=0,
            top_p=1.0,
            beta=recipe["kl_coefficient"] or MEASURED_ONLY,
            learning_rate=recipe["learning_rate"],
            lr_scheduler_type=recipe["schedule"],
            warmup_steps=0,
            seed=recipe["seed"] + seed,
            gradient_checkpointing=False,
            save_steps=recipe["save_steps"],
            save_total_limit=1,
            **cpu_arguments(),
        ),
        train_dataset=Dataset.from_list([{"prompt": item["prompt"], "item": json.dumps(item)} for item in prompts]),
        processing_class=tokenizer,
        callbacks=[SharedDraws(), ProgressCallback(stage.Progress(name, recipe["steps"]))],
    )


def recipe_hash(recipe: dict) -> str:
    """SHA-256 of a recipe's settings as canonical JSON: equal for two runs if and only if their settings are.

    A run's own are only the checkpoint that it starts from and the replicate's number, and neither is a setting.
    """
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def course(steps: list[dict]) -> list[dict]:
    """The course of training for the record: reward, tokens a response; entropy and KL from the start in nats a token.

    Args:
        steps: what TRL logged at each step.
    """
    names = {"reward": "reward", "entropy": "entropy", "length": "completions/mean_length", "kl": "kl"}
    return [{"step": row["step"]} | {name: row[logged] for name, logged in names.items()} for row in steps]


def verified(completions: list[str], item: list[str], **_) -> list[float]:
    """The reward: 1 for a right response, 0 for any other. Items come as JSON, since tasks differ in their keys."""
    return [float(items.is_correct(json.loads(row), response)) for row, response in zip(item, completions, strict=True)]


def partly_verified(completions: list[str], item: list[str], **_) -> list[float]:
    """The reward with partial credit: the verifier's score, 0 to 1."""
    return [items.score(json.loads(row), response) for row, response in zip(item, completions, strict=True)]


if __name__ == "__main__":
    stage.run(main, parallel=True)
