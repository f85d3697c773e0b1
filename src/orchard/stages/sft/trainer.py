"""TRL's SFT trainer with one change: the loss of each token can be distillation, and can have a weight (PEAR)."""

import math
from dataclasses import dataclass

import torch
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import pad

from orchard.stages.sft import distillation, pear, weights
from orchard.study.schema.sft import Objective


@dataclass
class BehaviorCollator(DataCollatorForLanguageModeling):
    """TRL's collator, which also pads what pi_beta gives for each token: its log-prob, and its most likely tokens."""

    def torch_call(self, examples: list[dict]) -> dict:
        batch = super().torch_call(examples)
        batch["behavior_logps"] = padded(examples, "behavior_logps", torch.float32, 0.0)
        if "top_ids" in examples[0]:
            batch["top_ids"] = padded(examples, "top_ids", torch.long, 0)
            batch["top_logps"] = padded(examples, "top_logps", torch.float32, -torch.inf)
        return batch


def padded(examples: list[dict], column: str, dtype: torch.dtype, value: float) -> torch.Tensor:
    """A column of the batch, padded on the right as TRL pads ids and labels."""
    parts = [torch.tensor(example[column], dtype=dtype) for example in examples]
    return pad(parts, padding_value=value, padding_side="right")


class ObjectiveTrainer(SFTTrainer):
    """Trains with one of the study's objectives.

    loss = sum_t stopgrad(G_t) · l_t / number of completion tokens in the whole batch (PEAR, section 3). Without weights
    and with a loss that TRL has (nll, dft), it is TRL's own.

    Args:
        objective: loss and weights.
        behavior_model: pi_beta itself, for kl-live.
    """

    def __init__(self, *args, objective: Objective, behavior_model=None, **options):
        super().__init__(*args, **options)
        self.objective, self.behavior_model = objective, behavior_model

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        behavior = {key: inputs.pop(key) for key in ("behavior_logps", "top_ids", "top_logps") if key in inputs}
        behavior = {key: value[:, 1:] for key, value in behavior.items()}  # scores are those of the next token
        if self.objective.weights is None and self.objective.loss in ("nll", "dft"):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        token_losses, logps, mask = self.token_losses(model, inputs, behavior)
        if self.objective.weights:
            logs = weights.log_weights(self.objective.weights, logps, behavior["behavior_logps"], mask)
            self.log_diagnostics(logs, mask)
            token_losses = logs.exp() * token_losses
        tokens = mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss = token_losses.masked_fill(~mask, 0.0).sum() / torch.as_tensor(tokens).clamp(min=1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return (loss, None) if return_outputs else loss

    def token_losses(self, model, inputs: dict, behavior: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The unweighted loss of each next token, its log pi_theta, and the mask of completion tokens."""
        if self.objective.loss == "nll":
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
            return -outputs.log_probs, outputs.log_probs, outputs.label_mask
        labels = inputs["labels"][:, 1:]
        mask = labels != -100
        inputs = {key: value for key, value in inputs.items() if key != "labels"}
        policy = model(**inputs, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        if self.objective.loss == "kl-stored":
            token_losses = distillation.stored_kl(policy, behavior["top_ids"], behavior["top_logps"])
        elif self.objective.loss == "kl-live":
            with torch.no_grad():
                logits = self.behavior_model(**inputs, use_cache=False).logits
            token_losses = distillation.live_kl(policy, logits[:, :-1].float().log_softmax(-1))
        else:
            raise ValueError(f"no loss of each token for {self.objective.loss}")  # the schema refuses it before
        return token_losses, policy.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1), mask

    def log_diagnostics(self, log_weights: torch.Tensor, mask: torch.Tensor) -> None:
        """Puts the weights' diagnostics beside TRL's metrics, so that they are logged and resumed as those are.

        Under gradient accumulation or several processes they are means over the parts of the batch. A part of the
        completions that no token lies in is left out.
        """
        bounds = getattr(self.objective.weights, "log_weight_clip", (-torch.inf, torch.inf))
        parts = {f"weight_part_{number}": value for number, value in enumerate(weights.by_part(log_weights, mask))}
        found = pear.diagnose(log_weights, mask, bounds)._asdict() | parts
        values = torch.tensor(list(found.values()), device=mask.device)
        means = self.accelerator.gather(values).view(-1, len(found)).nanmean(0).tolist()
        for name, value in zip(found, means, strict=True):
            if not math.isnan(value):
                self._metrics["train"][f"pear/{name}"].append(value)
