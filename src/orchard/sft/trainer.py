"""TRL's SFT trainer, and PEAR as one subclass of it."""

from dataclasses import dataclass

import torch
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import pad

from orchard.sft import pear


@dataclass
class BehaviorCollator(DataCollatorForLanguageModeling):
    """TRL's collator; the only change is one more column, ``behavior_logps``, padded with 0."""

    def torch_call(self, examples: list[dict]) -> dict:
        batch = super().torch_call(examples)
        logps = [torch.tensor(example["behavior_logps"], dtype=torch.float32) for example in examples]
        batch["behavior_logps"] = pad(logps, padding_value=0.0, padding_side="right")
        return batch


class NllTrainer(SFTTrainer):
    """TRL's SFT trainer; the only change is that it drops the column it does not use."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs.pop("behavior_logps")
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


class PearTrainer(SFTTrainer):
    """TRL's SFT trainer; the only change is that each token's loss is multiplied by its PEAR weight.

    loss = sum_t stopgrad(G_t) · −log pi_theta(y_t) / number of completion tokens in the whole batch.
    """

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        behavior_logps = inputs.pop("behavior_logps")[:, 1:]  # the fused head scores the label of each next position
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        log_weights = pear.log_weights("token", outputs.log_probs, behavior_logps, outputs.label_mask)
        for name, value in pear.diagnose(log_weights, outputs.label_mask)._asdict().items():
            self._metrics["train"][f"pear/{name}"].append(value)
        tokens = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss = (log_weights.exp() * -outputs.log_probs).sum() / torch.as_tensor(tokens).clamp(min=1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


TRAINERS = {"nll": NllTrainer, "pear-token": PearTrainer}
