"""Rollouts whose random numbers belong to their place in a step's batch: the same ones on any number of GPUs."""

import numpy
import torch
from transformers import LogitsProcessor, LogitsProcessorList, TrainerCallback

from orchard.models import cache, decoding


class Draws(LogitsProcessor):
    """Chooses each next token by a number drawn beforehand: the one at which the distribution's sum passes it.

    That is inverse transform sampling of what TRL's own sampling draws from.

    Args:
        seed: of the numbers; all of its parts count.
        places: tokens of a response at most.
        rows: responses of the whole batch, on all GPUs together.
        own: those that are sampled here.
        temperature: of the distribution.
    """

    def __init__(self, seed: tuple[int, ...], places: int, rows: int, own: slice, temperature: float):
        self.numbers = torch.from_numpy(numpy.random.default_rng(seed).random((places, rows)))[:, own]
        self.temperature, self.place = temperature, 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores (rows, vocabulary) that leave a single token to sample in each row."""
        sums = (scores / self.temperature).softmax(-1, dtype=torch.float64).cumsum(-1)
        numbers = self.numbers[self.place].to(scores.device).unsqueeze(-1)
        tokens = torch.searchsorted(sums, numbers * sums[:, -1:], right=True).clamp(max=scores.shape[-1] - 1)
        self.place += 1
        return torch.full_like(scores, -torch.inf).scatter(-1, tokens, 0.0)

    def keep(self, rows: torch.Tensor) -> None:
        """Forgets the numbers of rows that left the batch."""
        self.numbers = self.numbers[:, rows.cpu()]


class SharedDraws(TrainerCallback):
    """Gives the policy new draws at each step: they follow from the trainer's seed and the number of the step alone.

    Each process would otherwise sample by a state of its own, and the number of GPUs decide what is learnt.
    """

    def on_step_begin(self, args, state, control, model, **kwargs):
        rows = args.per_device_train_batch_size
        own = slice(rows * args.process_index, rows * (args.process_index + 1))
        seed = (args.seed, state.global_step)
        draws = Draws(seed, args.max_completion_length, rows * args.world_size, own, args.temperature)

        def generate(**asked):
            return type(model).generate(
                model,
                **asked,
                logits_processor=LogitsProcessorList([draws]),
                past_key_values=cache.roomy(model.config),
                custom_generate=decoding.leaving,
            )

        model.generate = generate
