"""GRPO with verifiable rewards from one SFT checkpoint: the identical recipe for each start (PEAR, section 4).

python -m orchard.stages.rl NAME --recipe RECIPE --arm ARM --seed SEED --draw DRAW --start MODEL \
        --prompts SET
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import RepeatSampler

from orchard import jsonl, paths, processes
from orchard.errors import UserError
from orchard.models import card, folders, loading, prompts, record, sampling
from orchard.models.finetuning import adapter, load_to_train
from orchard.models.seeds import seed_of
from orchard.models.training import (
    NOT_DONE_BY_TRL,
    ProgressCallback,
    curve,
    machine_arguments,
    optimizer_arguments,
    per_process,
    refuse_shards,
    train,
)
from orchard.processes import Progress
from orchard.stages import kept, stage
from orchard.stages.rl.rollouts import SharedDraws, continuous
from orchard.study.schema.rl import ENOUGH_PROMPTS, WHY_ENOUGH, Recipe, RlRun
from orchard.tasks import registry
from orchard.tasks.items import NEEDED

# TRL measures the KL from the start only where it counts. So small a coefficient is lost in rounding even beside
# gradients of 1e-20, so the weights are those of coefficient 0, bit for bit.
MEASURED_ONLY = 1e-30
# Each process loads the model from which the KL is measured, before it is sharded; TRL would spread it over all GPUs.
REFERENCE = {"device_map": None}
COURSE = {"reward": "reward", "entropy": "entropy", "length": "completions/mean_length", "kl": "kl"}

# What TRL's GRPO trainer could do besides, and does not (as `orchard.models.training.NOT_DONE`).
NOT_DONE = NOT_DONE_BY_TRL | {
    "num_train_epochs": 3.0,  # max_steps overrides it
    "cast_lm_head_to_fp32": False,
    "shuffle_dataset": True,
    "generation_batch_size": None,
    "min_p": None,
    "repetition_penalty": 1.0,
    "generation_kwargs": None,
    "chat_template_kwargs": None,
    "cache_implementation": None,
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
# How TRL uses vLLM: its defaults. The policy's log-probs differ from vLLM's, which a weight of each response corrects.
VLLM = {
    "vllm_mode": "colocate",  # on the GPUs that train
    "vllm_model_impl": "vllm",
    "vllm_tensor_parallel_size": 1,
    "vllm_gpu_memory_utilization": 0.3,
    "vllm_enable_sleep_mode": False,
    "vllm_max_model_length": None,
    "vllm_structured_outputs_regex": None,
    "vllm_importance_sampling_correction": True,
    "vllm_importance_sampling_mode": "sequence_mask",
    "vllm_importance_sampling_clip_min": None,
    "vllm_importance_sampling_clip_max": 3.0,
}
FREE = 0.5  # of the free memory, for keys and values of continuous rollouts: TRL's share, as training follows


def main(name: str, run: RlRun) -> None:
    recipe = stage.params(Recipe, "rl", "recipes", run.recipe)
    refuse_unfit_rollouts(recipe)
    start, target = paths.model(run.start), paths.model(f"rl-{name}")
    begun = (target, __spec__.name, [start, *run.beside, Path(recipe.prompts)], run, recipe, loading.settings())
    with stage.output(target) as scratch, kept.resumable(*begun) as state:
        tokenizer, seed = folders.load_tokenizer(start), seed_of("rl", recipe.seed, run.seed, run.draw)
        trainer = make_trainer(recipe, seed, load_to_train(start, recipe.lora), tokenizer, state, f"rl@{name}")
        taken = train(trainer, state)
        folders.save_trained(trainer.model, tokenizer, scratch, start)
        steps = curve(trainer.state.log_history, "loss")
        jsonl.write(scratch / "curve.jsonl", steps)
        differing = informative(steps, recipe.iterations)
        before = record.read(start)
        card.finish(
            scratch,
            f"rl-{name}",
            "rl",
            recipe,
            [start, Path(recipe.prompts)],
            step=made(run, recipe, taken, differing),
            start=start,
            **{key: before[key] for key in ("arm", "objective", "base", "data", "seed", "draw")},
            recipe=run.recipe,
            steps=taken,
            informative_steps=differing,
            recipe_hash=recipe_hash(recipe),
            curve=course(steps),
            drift=folders.drift(start, scratch),
        )


def make_trainer(recipe: Recipe, seed: int, model, tokenizer, state: Path, name: str) -> GRPOTrainer:
    """TRL's GRPO trainer with the study's recipe.

    Where the KL from the start is measured it loads the start once more, or, with adapters, leaves these out.
    All arms of a replicate have one seed, so they meet the same prompts in the same order.
    """
    items = registry.read(recipe.prompts, NEEDED["generation"])
    refuse_too_few(recipe, len(items))
    sampling.plain_settings(model, tokenizer)
    no_attention_dropout(model)
    draws = [SharedDraws(recipe.rollout_batch_size)] if recipe.rollouts == "static" else []
    return RenderingTrainer(
        model=model,
        reward_funcs=partial_credit if recipe.partial_credit else right_or_wrong,
        args=arguments(recipe, seed, state),
        train_dataset=Dataset.from_list(
            [{"prompt": prompts.start(tokenizer, prompts.asked(item)), "item": json.dumps(item)} for item in items]
        ),
        processing_class=tokenizer,
        peft_config=adapter(recipe.lora),
        callbacks=[*draws, ProgressCallback(Progress(name, recipe.steps))],
    )


def no_attention_dropout(model) -> None:
    """Switches off what TRL's ``disable_dropout`` passes over: dropout within attention, which is no layer."""
    for layer in model.modules():
        if getattr(layer, "attention_dropout", 0):
            layer.attention_dropout = 0.0


def arguments(recipe: Recipe, seed: int, state: Path) -> GRPOConfig:
    """TRL's arguments: all that results rest on is named, so that no library chooses it."""
    clip_low, clip_high = recipe.clip
    beta = recipe.kl_coefficient or MEASURED_ONLY * recipe.measure_kl
    return GRPOConfig(
        output_dir=str(state),
        max_steps=recipe.steps,
        per_device_train_batch_size=per_process(recipe.rows()[1] // recipe.accumulation),
        gradient_accumulation_steps=recipe.accumulation,
        steps_per_generation=recipe.accumulation,  # a batch of rollouts is one step's
        num_generations=recipe.samples_per_prompt,
        max_completion_length=recipe.max_new_tokens,
        temperature=recipe.temperature,
        top_k=0,
        top_p=1.0,
        beta=beta,
        model_init_kwargs=REFERENCE if beta and processes.is_sharded() else None,
        loss_type=recipe.loss,
        epsilon=clip_low,
        epsilon_high=clip_high,
        importance_sampling_level=recipe.ratio,
        scale_rewards=recipe.scale_rewards,
        num_iterations=recipe.iterations,
        mask_truncated_completions=not recipe.learn_cut,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        seed=seed,
        gradient_checkpointing=recipe.gradient_checkpointing,
        disable_dropout=True,  # responses come from the policy itself
        use_vllm=recipe.rollouts == "vllm",
        use_transformers_continuous_batching=recipe.rollouts == "continuous",
        remove_unused_columns=False,
        save_steps=recipe.save_steps,
        save_total_limit=1,
        **optimizer_arguments(recipe.optimizer),
        **machine_arguments(),
        **NOT_DONE,
        **VLLM,
    )


class Order(RepeatSampler):
    """TRL's order of prompts, whose epochs follow from the seed and their number: also where a run goes on in one.

    TRL shuffles each epoch by what the one before left, so a resumed run would meet the first epoch's order again.

    Args:
        epochs: gives the number of whole epochs before.
        other: TRL's.
    """

    def __init__(self, epochs: Callable[[], int], other: RepeatSampler):
        repeats = other.mini_repeat_count, other.batch_size, other.repeat_count
        super().__init__(other.data_source, *repeats, other.shuffle, other.seed)
        self.epochs = epochs

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed)
        for _ in range(self.epochs()):
            torch.randperm(self.num_samples, generator=self.generator)
        yield from super().__iter__()


class RenderingTrainer(GRPOTrainer):
    """TRL's GRPO trainer, whose prompts are cut as those of every other stage, and whose weights stay in their type.

    The prompts come as texts to go on from. A run that was killed meets them in the same order.
    """

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Order:
        other = super()._get_train_sampler(dataset)
        steps = other.num_samples // other.batch_size * self.num_iterations
        return Order(lambda: self.state.global_step // steps, other)

    def _tokenize_prompts(self, texts: list[str]) -> tuple[list[list[int]], None, dict]:
        return [prompts.started_ids(self.processing_class, text) for text in texts], None, {}

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args, **options):
        if not self.use_transformers_continuous_batching:
            return super()._generate_single_turn(prompt_ids, *args, **options)
        batching = {"max_memory_percent": FREE, "seed": self.args.seed + self.state.global_step}
        dtype = torch.bfloat16 if self.args.bf16 else self.model.dtype  # that of the trainer's own log-probs
        with unwrap_model_for_generation(self.model_wrapped, self.accelerator) as model:
            return continuous(model, prompt_ids, self.generation_config, batching, dtype), None


def refuse_unfit_rollouts(recipe: Recipe) -> None:
    """Refuses rollouts that this environment cannot do, before anything is loaded.

    Raises:
        UserError: vLLM is not installed, or each process would have a shard of the weights (FSDP).
    """
    if recipe.rollouts == "vllm" and not importlib.util.find_spec("vllm"):
        raise UserError(
            found="rl.recipes with rollouts: vllm, and no vLLM in this environment",
            rule="TRL runs vLLM within the stage",
            why="it needs the weights of each step, so an engine in an environment of its own cannot do it",
            fix="set rollouts: continuous, which needs no package besides, or static; or install a vLLM that fits the "
            "torch, transformers and TRL of requirements.lock, where there is one",
        )
    if recipe.rollouts == "continuous":
        refuse_shards("rollouts: continuous")


def refuse_too_few(recipe: Recipe, items: int) -> None:
    """Raises a UserError for fewer prompts than a step takes: TRL would leave them out, and take no step."""
    if items < recipe.prompts_per_step:
        raise UserError(
            found=f"{recipe.prompts} has {items} prompts, while rl.recipes takes {recipe.prompts_per_step} a step",
            rule=ENOUGH_PROMPTS,
            why=WHY_ENOUGH,
            fix=f"set prompts_per_step to {items} or less, or name a larger set",
        )


def informative(steps: list[dict], iterations: int) -> int:
    """The steps in which some prompt's responses had different rewards; from any other step GRPO learns nothing.

    Args:
        steps: what TRL logged at each step; rewards at those that sampled.
        iterations: steps on the same responses.
    """
    sampled = [row["step"] for row in steps if row.get("frac_reward_zero_std", 1) < 1]
    return sum(min(iterations, len(steps) - step + 1) for step in sampled)


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
        steps: what TRL logged at each step; those on responses that had a step already are left out.
    """
    sampled = [row for row in steps if "reward" in row]
    kept = {name: logged for name, logged in COURSE.items() if logged in sampled[0]}
    return [{"step": row["step"]} | {name: row[logged] for name, logged in kept.items()} for row in sampled]


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
