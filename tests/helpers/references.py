"""What PEAR's weights and a model's log-probs are by definition, worked out one token or one row at a time."""

import math
import random

import torch


def log_weights_by_definition(
    form: str, policy: list[float], behavior: list[float], block: int | None, gamma: float
) -> list[float]:
    """log G_t of each token t = 1..T of one completion, in Python's floats, from the paper's formulas."""
    delta = [min(max(p - b, -0.08), 0.3) for p, b in zip(policy, behavior, strict=True)]
    length, result = len(delta), []
    for t in range(1, length + 1):
        if form == "sequence":
            log_weight = sum(delta)
        elif form == "token":
            log_weight = (length - t) * math.log(gamma) + sum(delta[t:])
        else:
            end = min(math.ceil(t / block) * block, length)
            log_weight = (length - end) * math.log(gamma) + sum(delta[end:])
        result.append(min(max(log_weight, -10.0), 5.0))
    return result


def ragged(rng: random.Random, longest: int = 200) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[slice]]:
    """A batch with a prompt before, and padding on both sides of, each completion; some are empty.

    Returns:
        log pi_theta, log pi_beta and the mask of completion tokens, each of shape (batch, time), and where each
        completion stands.
    """
    rows = [(rng.randrange(4), rng.randrange(5), rng.randrange(longest), rng.randrange(4)) for _ in range(4)]
    time = max(map(sum, rows)) or 1
    mask = torch.zeros(len(rows), time, dtype=torch.bool)
    spans = []
    for row, (left, prompt, length, _) in enumerate(rows):
        spans.append(slice(left + prompt, left + prompt + length))
        mask[row, spans[-1]] = True
    scale = rng.choice([0.05, 0.3, 2.0])
    return -scale * torch.rand(len(rows), time), -scale * torch.rand(len(rows), time), mask, spans


@torch.no_grad()
def logps_of_row(model, row: dict) -> list[float]:
    """The log-prob of each completion token, from the logits of one unpadded row."""
    ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
    logits, first = model(ids).logits[0], len(row["prompt_ids"])
    return [float(logits[place - 1].log_softmax(-1)[ids[0, place]]) for place in range(first, ids.shape[1])]
