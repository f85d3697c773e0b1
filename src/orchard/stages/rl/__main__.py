"""GRPO with verifiable rewards from one SFT checkpoint: the identical recipe for each start (PEAR, section 4).

python -m orchard.stages.rl NAME --recipe RECIPE --arm ARM --seed SEED --draw DRAW --start MODEL \
        --prompts SET
"""

import hashlib
import json
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.models import card, folders, prompts, record, sampling
from orchard.models.seeds import seed_of
from orchard.models.training import (
    NOT_DONE_BY_TRL,
    ProgressCallback,
    curve,
    machine_arguments,
    optimizer_arguments,
    per_process,
    train,
)
from orchard.processes import Progress
from orchard.stages import stage
from orchard.stages.rl.rollouts import SharedDraws
from orchard.study.schema.rl import ENOUGH_PROMPTS, WHY_ENOUGH, Recipe, RlRun
from orchard.tasks import registry
from orchard.tasks.items import NEEDED

# TRL measures the KL from the start only where it counts. So small a coefficient is lost in rounding even beside
# gradients of 1e-20, so the weights are those of coefficient 0, bit for bit.
MEASURED_ONLY = 1e-30
COURSE = {"reward": "reward", "entropy": "entropy", "length": "completions/mean_length", "kl": "kl"}

# What TRL's GRPO trainer could do besides, and does not (as `orchard.models.training.NOT_DONE`).
NOT_DONE = NOT_DONE_BY_TRL | {
    "num_train_epochs": 3.0,  # max_steps overrides it
    "disable_dropout": False,
    "cast_lm_head_to_fp32": False,
    "shuffle_dataset": True,
    "generation_batch_size": None,
    "steps_per_generation": None,
    "min_p": None,
    "repetition_penalty": 1.0,
    "generation_kwargs": None,
    "chat_template_kwargs": None,
    "cache_implementation": None,
    "use_vllm": False,
    "use_transformers_continuous_batching": False,
    "delta": None,
    "reward_weights": None,
    "multi_objective_aggregation": "sum_then_normalize",
    "sync_ref_model": False,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "off_policy_mask_threshold": None,
    "use_bias_correction_kl": True,
    "max_tool_calling_iterations": None,
}


def main(name: str, run: RlRun) -> None:
    recipe = stage.params(Recipe, "rl", "recipes", run.recipe)
    start, target = paths.model(run.start), paths.model(f"rl-{name}")
    with stage.output(target) as scratch, stage.resumable(target) as state:
        tokenizer, seed = folders.load_tokenizer(start), seed_of("rl", recipe.seed, run.seed, run.draw)
        trainer = make_trainer(recipe, seed, folders.load_model(start), tokenizer, state, f"rl@{name}")
        taken = train(trainer, state)
        folders.save(trainer.model, tokenizer, scratch)
        steps = curve(trainer.state.log_history, "reward")
        jsonl.write(scratch / "curve.jsonl", steps)
        before = record.read(start)
        card.finish(
            scratch,
            f"rl-{name}",
            "rl",
            recipe,
            [start, Path(recipe.prompts)],
            step=made(run, recipe, taken, informative(steps)),
            start=start,
            **{key: before[key] for key in ("arm", "objective", "base", "data", "seed", "draw")},
            recipe=run.recipe,
            steps=taken,
            informative_steps=informative(steps),
            recipe_hash=recipe_hash(recipe),
            curve=course(steps),
            drift=folders.drift(start, scratch),
        )


def make_trainer(recipe: Recipe, seed: int, model, tokenizer, state: Path, name: str) -> GRPOTrainer:
    """TRL's GRPO trainer with the study's recipe. It loads the start once more where the KL from it is measured.

    All arms of a replicate have one seed, so they meet the same prompts in the same order.
    """
    items = registry.read(recipe.prompts, NEEDED["generation"])
    refuse_too_few(recipe, len(items))
    sampling.plain_settings(model, tokenizer)
    return RenderingTrainer(
        model=model,
        reward_funcs=partial_credit if recipe.partial_credit else right_or_wrong,
        args=arguments(recipe, seed, state),
        train_dataset=Dataset.from_list(
            [{"prompt": prompts.start(tokenizer, prompts.asked(item)), "item": json.dumps(item)} for item in items]
        ),
        processing_class=tokenizer,
        callbacks=[SharedDraws(), ProgressCallback(Progress(name, recipe.steps))],
    )


def arguments(recipe: Recipe, seed: int, state: Path) -> GRPOConfig:
    """TRL's arguments: all that results rest on is named, so that no library chooses it."""
    clip_low, clip_high = recipe.clip
    return GRPOConfig(
        output_dir=str(state),
        max_steps=recipe.steps,
        per_device_train_batch_size=per_process(recipe.prompts_per_step * recipe.samples_per_prompt),
        gradient_accumulation_steps=1,
        num_generations=recipe.samples_per_prompt,
        max_completion_length=recipe.max_new_tokens,
        temperature=recipe.temperature,
        top_k=0,
        top_p=1.0,
        beta=recipe.kl_coefficient or MEASURED_ONLY * recipe.measure_kl,
        loss_type=recipe.loss,
        epsilon=clip_low,
        epsilon_high=clip_high,
        importance_sampling_level=recipe.ratio,
        scale_rewards=recipe.scale_rewards,
        num_iterations=recipe.iterations,
        mask_truncated_completions=not recipe.learn_cut,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=0,
        seed=seed,
        gradient_checkpointing=False,
        remove_unused_columns=False,
        save_steps=recipe.save_steps,
        save_total_limit=1,
        **optimizer_arguments(recipe.optimizer),
        **machine_arguments(),
        **NOT_DONE,
    )


class RenderingTrainer(GRPOTrainer):
    """TRL's GRPO trainer, whose prompts are cut as those of every other stage: they come as texts to go on from."""

    def _tokenize_prompts(self, texts: list[str]) -> tuple[list[list[int]], None, dict]:
        return [prompts.started_ids(self.processing_class, text) for text in texts], None, {}


def refuse_too_few(recipe: Recipe, items: int) -> None:
    """Raises a UserError for fewer prompts than a step takes: TRL would leave them out, and take no step."""
    if items < recipe.prompts_per_step:
        raise UserError(
            found=f"{recipe.prompts} has {items} prompts, while rl.recipes takes {recipe.prompts_per_step} a step",
            rule=ENOUGH_PROMPTS,
            why=WHY_ENOUGH,
            fix=f"set prompts_per_step to {items} or less, or name a larger set",
        )


def informative(steps: list[dict]) -> int:
    """The steps in which some prompt's responses had different rewards; from any other step GRPO learns nothing.

    Args:
        steps: what TRL logged at each step.
    """
    return sum(row["frac_reward_zero_std"] < 1 for row in steps)


def made(run: RlRun, recipe: Recipe, steps: int, informative: int) -> str:
    """What RL did, for the card."""
    amount = f"{steps} steps, of which {informative} had rewards that differ within a prompt"
    return f"trained by GRPO on {recipe.prompts}: recipe {run.recipe}, seed {run.seed}, {amount}"


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of a recipe's settings as canonical JSON: equal for two runs if and only if their settings are.

    A run's own are only the checkpoint that it starts from and the replicate's number, and neither is a setting.
    """
    text = json.dumps(recipe.model_dump(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def course(steps: list[dict]) -> list[dict]:
    """The course of training for the record: reward, tokens per response; entropy and, if measured, KL in nats a token.

    Args:
        steps: what TRL logged at each step.
    """
    kept = {name: logged for name, logged in COURSE.items() if logged in steps[0]}
    return [{"step": row["step"]} | {name: row[logged] for name, logged in kept.items()} for row in steps]


def right_or_wrong(completions: list[str], item: list[str], **_) -> list[float]:
    """The reward: 1 for a right response, 0 for any other. Items come as JSON, since tasks differ in their keys."""
    return [float(judgement.right) for judgement in _judged(completions, item)]


def partial_credit(completions: list[str], item: list[str], **_) -> list[float]:
    """The reward with partial credit: the task's score, 0 to 1."""
    return [judgement.score for judgement in _judged(completions, item)]


def _judged(completions: list[str], item: list[str]):
    for row, response in zip(map(json.loads, item), completions, strict=True):
        yield registry.load(row["task"]).judge(row, response)


if __name__ == "__main__":
    stage.run(main, RlRun, parallel=True)
