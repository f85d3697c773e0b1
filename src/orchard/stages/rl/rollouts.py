"""Rollouts: static, whose random numbers belong to their place in a step's batch, and continuous, for long responses.

Static ones are the same on any number of GPUs, after a kill, and however many are sampled at a time.
"""

import contextlib
from collections.abc import Iterator

import numpy
import torch
from transformers import LogitsProcessorList, TrainerCallback

from orchard.engines.continuous import batched
from orchard.models import cache, decoding
from orchard.models.draws import ByNumbers


class Draws(ByNumbers):
    """The choices of a step's responses, by numbers that are drawn for all of them at once.

    Args:
        seed: of the numbers; all of its parts count.
        places: tokens of a response at most.
        rows: responses of the whole batch, on all GPUs together.
        own: those that are sampled here.
        temperature: of the distribution.
    """

    def __init__(self, seed: tuple[int, ...], places: int, rows: int, own: slice, temperature: float):
        super().__init__(torch.from_numpy(numpy.random.default_rng(seed).random((places, rows)))[:, own], temperature)


class SharedDraws(TrainerCallback):
    """Gives the policy new draws at each step: they follow from the trainer's seed and the number of the step alone.

    Each process would otherwise sample by a state of its own, and the number of GPUs decide what is learnt.

    Args:
        at_once: responses that are sampled side by side in each process; None: all of a step. It changes no response.
    """

    def __init__(self, at_once: int | None = None):
        self.at_once = at_once

    def on_step_begin(self, args, state, control, model, **kwargs):
        rows = args.per_device_train_batch_size * args.steps_per_generation
        first, everybodys, seed = rows * args.process_index, rows * args.world_size, (args.seed, state.global_step)

        def generate(input_ids, attention_mask, generation_config) -> torch.Tensor:
            parts = []
            for start in range(0, rows, self.at_once or rows):
                part = slice(start, min(rows, start + (self.at_once or rows)))
                own = slice(first + part.start, first + part.stop)
                draws = Draws(seed, args.max_completion_length, everybodys, own, args.temperature)
                parts.append(
                    type(model).generate(
                        model,
                        input_ids=input_ids[part],
                        attention_mask=attention_mask[part],
                        generation_config=generation_config,
                        logits_processor=LogitsProcessorList([draws]),
                        past_key_values=cache.roomy(model.config),
                        custom_generate=decoding.leaving,
                    )
                )
            return joined(parts, generation_config.pad_token_id)

        model.generate = generate


def joined(parts: list[torch.Tensor], padding: int) -> torch.Tensor:
    """Rows of token ids as one batch, as long as the longest part."""
    length = max(part.shape[1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, length - part.shape[1]), value=padding) for part in parts])


def continuous(model, prompts: list[list[int]], settings, batching: dict, dtype: torch.dtype) -> list[list[int]]:
    """One response for each prompt, by transformers' continuous batching: a row that ends makes room for another.

    Args:
        model: the policy.
        prompts: token ids.
        settings: for generation.
        batching: of transformers' ContinuousBatchingConfig.
        dtype: that the weights are read in. They themselves stay as they are; TRL would leave them in it.

    Raises:
        RuntimeError: a response is missing or failed; transformers only logs it, and gives what there is.
    """
    with weights_as(model, dtype):
        found = batched(model, prompts, settings, **batching)
    model.train()
    return [output.generated_tokens for output in found]


@contextlib.contextmanager
def weights_as(model, dtype: torch.dtype) -> Iterator[None]:
    """Lets a model read copies of its weights in another type for a while."""
    own = {parameter: parameter.data for parameter in model.parameters()}
    try:
        for parameter, data in own.items():
            parameter.data = data.to(dtype)
        yield
    finally:
        for parameter, data in own.items():
            parameter.data = data
