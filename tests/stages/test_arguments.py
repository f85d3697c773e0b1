"""What the trainers of TRL are told: all that results rest on."""

import contextlib
import dataclasses
from pathlib import Path

import pytest
from transformers import TrainingArguments
from trl import GRPOConfig, SFTConfig

from orchard import paths
from orchard.models import finetuning, training
from orchard.stages.base import pretrain
from orchard.stages.rl import __main__ as rl
from orchard.study import load, runs
from orchard.study.schema.common import Optimizer
from orchard.study.schema.rl import Recipe
from orchard.study.schema.sft import SftTrainer
from tests.helpers.project import ROOT

SMALL = {"prompts": "p", "seed": 1, "steps": 3, "prompts_per_step": 2, "samples_per_prompt": 4, "max_new_tokens": 6}
RECIPE = Recipe(**SMALL, learning_rate=1e-2)
TRAINER = SftTrainer(batch_size=8, epochs=1, schedule="constant")
with contextlib.chdir(ROOT):
    BASE = runs.base(load.load(paths.STUDIES / "smoke.yaml").base)["tiny-1"].settings


# What a trainer's settings may be that this code leaves to the library: they change no result.
NO_MATTER = {
    "where it writes, what it logs, whom it tells": (
        "output_dir logging_strategy logging_steps logging_first_step log_on_each_node logging_nan_inf_filter"
        " include_num_input_tokens_seen log_level log_level_replica disable_tqdm report_to run_name project"
        " trackio_space_id trackio_bucket_id trackio_static_space_id push_to_hub hub_token hub_private_repo"
        " hub_model_id hub_strategy hub_always_push hub_revision"
        " log_completions log_multimodal num_completions_to_print"
        " log_unique_prompts log_completions_hub_repo skip_memory_metrics debug do_train do_eval do_predict"
    ),
    "how it is evaluated, which it is not": (
        "eval_strategy eval_steps eval_delay per_device_eval_batch_size prediction_loss_only eval_on_start"
        " eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics batch_eval_metrics"
        " metric_for_best_model greater_is_better bf16_full_eval fp16_full_eval eval_packing num_generations_eval"
    ),
    "what it saves beside the weights": (
        "save_only_model save_strategy save_on_each_node enable_jit_checkpoint restore_callback_states_from_checkpoint"
        " resume_from_checkpoint"
    ),
    "how the machine's parts share the work": (
        "accelerator_config parallelism_config local_rank ddp_find_unused_parameters ddp_bucket_cap_mb"
        " ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config deepspeed"
        " ds3_gather_for_generation torch_empty_cache_steps dataloader_persistent_workers dataloader_prefetch_factor"
        " dataloader_multiprocessing_context dataloader_in_order dataset_num_proc"
    ),
    "how activations are kept; the same numbers": (
        "gradient_checkpointing_kwargs activation_checkpointing activation_checkpointing_kwargs use_cache"
    ),
    "of what is switched off": (
        "sapo_temperature_neg sapo_temperature_pos vespo_k_pos vespo_lambda_pos vespo_k_neg vespo_lambda_neg"
        " ref_model_mixup_alpha ref_model_sync_steps entropy_coef_min entropy_coef_max entropy_coef_delta"
        " entropy_target transformers_continuous_batching_config use_transformers_paged"
        " vllm_server_base_url vllm_server_host vllm_server_port vllm_server_timeout vllm_group_port"
        " vllm_importance_sampling_cap"
        " dataset_text_field label_names length_column_name"
    ),
}


OWN_OPTIMIZER = "num_train_epochs learning_rate adam_beta1 adam_beta2 adam_epsilon weight_decay"  # Muon has its own
MADE = {
    "pretraining": (pretrain, TrainingArguments, lambda: pretrain.arguments(BASE, 1, Path("state"))),
    "SFT and recovery": (finetuning, SFTConfig, lambda: finetuning.sft_arguments(TRAINER, 1, 1e-3, 1, Path("state"))),
    "RL": (rl, GRPOConfig, lambda: rl.arguments(RECIPE, 1, Path("state"))),
}


@pytest.mark.parametrize("trainer", MADE)
def test_no_library_chooses_what_results_rest_on(trainer, monkeypatch):
    """A setting that a new version of TRL or transformers brings along fails here until it is named, or known to be of
    no matter."""
    module, kind, make = MADE[trainer]
    monkeypatch.setattr(module, kind.__name__, lambda **named: named)
    named, fields = make(), {field.name for field in dataclasses.fields(kind)}
    texts = [*NO_MATTER.values(), *([OWN_OPTIMIZER] if trainer == "pretraining" else [])]
    assert not fields - {field for text in texts for field in text.split()} - named.keys()
    assert not named.keys() - fields


def test_vllm_is_used_as_trl_uses_it_today():
    defaults = {field.name: field.default for field in dataclasses.fields(GRPOConfig)}
    assert {name: defaults[name] for name in rl.VLLM} == rl.VLLM


@pytest.mark.parametrize("kind", [SFTConfig, GRPOConfig])
def test_a_named_default_is_that_of_the_library_today(kind):
    """So the schema's descriptions, which call them the library's defaults, are true."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    ours = training.optimizer_arguments(Optimizer())
    assert {name: defaults[name] for name in ours} == ours


def test_the_optimizer_of_a_study_reaches_the_trainer(tmp_path):
    asked = Optimizer(betas=[0.9, 0.99], epsilon=1e-6, weight_decay=1e-4, max_gradient_norm=0.5)
    common = TRAINER.model_copy(update={"optimizer": asked})
    changes = {"optimizer": asked, "loss": "grpo", "clip": [0.1, 0.3], "scale_rewards": "none"}
    changes |= {"ratio": "sequence", "iterations": 2, "learn_cut": False}
    made = rl.arguments(RECIPE.model_copy(update=changes), 1, tmp_path)
    for config in (finetuning.sft_arguments(common, 1, 1e-3, 1, tmp_path), made):
        assert (config.adam_beta1, config.adam_beta2, config.adam_epsilon) == (0.9, 0.99, 1e-6)
        assert (config.weight_decay, config.max_grad_norm) == (1e-4, 0.5)
    assert (made.loss_type, made.epsilon, made.epsilon_high, made.scale_rewards) == ("grpo", 0.1, 0.3, "none")
    assert (made.importance_sampling_level, made.num_iterations, made.mask_truncated_completions) == (
        "sequence",
        2,
        True,
    )


def test_how_a_step_is_computed_reaches_the_trainer_of_rl(tmp_path):
    plain = rl.arguments(RECIPE, 1, tmp_path)
    rows = "per_device_train_batch_size gradient_accumulation_steps steps_per_generation generation_batch_size".split()
    assert [getattr(plain, name) for name in rows] == [8, 1, 1, 8]
    assert (plain.gradient_checkpointing, plain.warmup_steps, plain.beta) == (False, 0, 0.0)
    assert not plain.use_vllm
    assert not plain.use_transformers_continuous_batching
    changes = {"accumulation": 4, "gradient_checkpointing": True, "rollouts": "continuous", "clip": [0.2, 0.28]}
    changes |= {"schedule": "constant_with_warmup", "warmup_steps": 2}
    made = rl.arguments(Recipe(**SMALL, learning_rate=1e-2, **changes), 1, tmp_path)
    assert [getattr(made, name) for name in rows] == [2, 4, 4, 8]
    assert (made.gradient_checkpointing, made.warmup_steps) == (True, 2)
    assert made.lr_scheduler_type == "constant_with_warmup"
    assert (made.epsilon, made.epsilon_high) == (0.2, 0.28)
    assert made.use_transformers_continuous_batching


def test_the_reference_of_the_kl_is_loaded_by_each_process_where_weights_are_sharded(tmp_path, monkeypatch):
    """TRL would spread it over all GPUs of the machine."""
    with_kl = RECIPE.model_copy(update={"kl_coefficient": 0.04})
    assert rl.arguments(with_kl, 1, tmp_path).model_init_kwargs is None
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert rl.arguments(with_kl, 1, tmp_path).model_init_kwargs == {"device_map": None}
    assert rl.arguments(RECIPE, 1, tmp_path).model_init_kwargs is None
