"""Methods that choose the layers to drop from calibration texts in one pass or few, and two that need no text.

Each method is a function ``(model, count, calibration, seed) -> (dropped, measured)``: the numbers of the ``count``
layers to drop, in order, and what the stage's record says of the measurement. METHODS names them.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from orchard.errors import UserError
from orchard.models import prompts, surgery
from orchard.models.likelihood import completion_logps
from orchard.models.seeds import seed_of

Choice = tuple[list[int], dict]


@dataclass(frozen=True)
class CalibrationTexts:
    """The texts on which layers are measured.

    Attributes:
        tokenizer: the model's, which names the padding.
        texts: at least one, each of a token or more, as token ids.
        batch_size: texts per forward pass.
        report: called with how much is done, and of how much, as the measurement goes on.
    """

    tokenizer: object
    texts: list[list[int]]
    batch_size: int
    report: Callable[[int, int], None] = lambda done, total: None

    def batches(self, device) -> Iterator[dict[str, torch.Tensor]]:
        """Token ids and mask of shape (texts, tokens). Padding is on the right, where a causal model never sees it."""
        texts = sorted(self.texts, key=len)  # texts of like length: less padding
        for start in range(0, len(texts), self.batch_size):
            chosen = texts[start : start + self.batch_size]
            yield prompts.padded(self.tokenizer, chosen, "right", device)
            self.report(start + len(chosen), len(texts))


def choose(method: str, model, count: int, calibration: CalibrationTexts, replicate: int | None = None) -> Choice:
    """Chooses layers by a method's name as it stands in a config: one of METHODS, behind ``random`` a seed.

    Args:
        method: ``block-influence``, ``random-1``.
        model: one that surgery.check accepts, in evaluation mode.
        count: the number of layers to drop.
        calibration: the texts.
        replicate: its seed, so that layers drawn at random are others in each chain; None of a loaded model.

    Raises:
        UserError: there is no such method.
    """
    name, seed = re.fullmatch(r"(.*?)(?:-(\d+))?", method).groups()
    if name not in METHODS or (seed is None) == (name == "random"):
        raise UserError(
            found=f"method {method!r}",
            rule=f"it is one of {', '.join(METHODS)}; random has a seed behind it: random-1",
            why="each stands for code that exists",
            fix="correct it",
        )
    drawn = None if seed is None else seed_of("random layers", int(seed), replicate)
    return METHODS[name](model, count, calibration, drawn)


def reverse(model, count: int, calibration: CalibrationTexts, seed: int | None) -> Choice:
    """The last layers (arXiv 2602.01997, section 3)."""
    layers = len(model.model.layers)
    return list(range(layers - count, layers)), {}


def by_random(model, count: int, calibration: CalibrationTexts, seed: int | None) -> Choice:
    """Layers drawn uniformly from all but layer 0: the control for every method that measures something.

    A choice that does not beat it has measured nothing. Layer 0 stays, because greedy search never drops it and its
    loss wrecks a model whatever else is dropped: a control that may lose it would be beaten too easily. A seed puts
    the layers in one order, of which a higher ratio takes more.
    """
    draw = random.Random(seed)
    order = sorted(range(1, len(model.model.layers)), key=lambda _: draw.random())
    return sorted(order[:count]), {}


def by_block_influence(model, count: int, calibration: CalibrationTexts, seed: int | None) -> Choice:
    """The layers that turn their input least (arXiv 2602.01997, section 3)."""
    influence = block_influence(model, calibration)
    return lowest(influence, count), {"block_influence": influence}


def by_angle(model, count: int, calibration: CalibrationTexts, seed: int | None) -> Choice:
    """The block of ``count`` neighbouring layers with the least angle from its input to its output (ties: the later).

    Gromov et al., arXiv 2403.17887, section 3.2. They protect no layer, so the block may begin at layer 0.
    """
    distances = angular_distances(model, count, calibration)
    [start] = lowest(distances, 1)
    return list(range(start, start + count)), {"angular_distance": distances}


def by_perplexity(model, count: int, calibration: CalibrationTexts, seed: int | None) -> Choice:
    """The layers whose removal alone raises the perplexity of the calibration texts least.

    The perplexity criterion of Shortened LLaMA, arXiv 2402.02834; all layers are measured once, on the whole model.
    """
    losses = losses_without(model, calibration)
    return lowest(losses, count), {"log_perplexity_without": losses}


METHODS = {
    "reverse": reverse,
    "random": by_random,
    "block-influence": by_block_influence,
    "angular": by_angle,
    "perplexity": by_perplexity,
}


def block_influence(model, calibration: CalibrationTexts) -> list[float]:
    """1 − the mean cosine of each layer's input and output over all calibration tokens (Block Influence).

    Returns:
        One number per layer: 0 for a layer that changes nothing in direction.
    """
    similarity, tokens = torch.zeros(len(model.model.layers), dtype=torch.float64), 0

    def add(layer: int, before: torch.Tensor, after: torch.Tensor, mask: torch.Tensor) -> None:
        nonlocal tokens
        tokens += int(mask.sum()) if layer == 0 else 0
        similarity[layer] += torch.cosine_similarity(before[mask].double(), after[mask].double(), dim=-1).sum().cpu()

    watch(model, calibration, add)
    return rounded(1 - similarity / tokens)


def angular_distances(model, count: int, calibration: CalibrationTexts) -> list[float]:
    """The angle, as a share of π, from the input of each block of layers to its output, mean over texts.

    Gromov et al. (arXiv 2403.17887): arccos(cosine)/π of the hidden states at the last token of a text alone, which
    has seen the whole text. Padding is no token.

    Args:
        model: a decoder model.
        count: the number of layers of a block.
        calibration: the texts.

    Returns:
        One number for each first layer of a block, 0 to 1.
    """
    sums, states = torch.zeros(len(model.model.layers) - count + 1, dtype=torch.float64), []

    def add(layer: int, before: torch.Tensor, after: torch.Tensor, mask: torch.Tensor) -> None:
        texts, last = torch.arange(len(mask)), mask.sum(-1) - 1
        if layer == 0:
            states[:] = [before[texts, last].double()]
        states.append(after[texts, last].double())
        if (start := layer + 1 - count) >= 0:
            sums[start] += angle(states[start], states[-1]).sum().cpu()

    watch(model, calibration, add)
    return rounded(sums / len(calibration.texts))


def angle(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """arccos(cosine)/π of vectors along the last dimension, by the half angle: arccos loses half the digits near 0."""
    a, b = (each / each.norm(dim=-1, keepdim=True) for each in (a, b))
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)) / torch.pi


def losses_without(model, calibration: CalibrationTexts) -> list[float]:
    """The log of the perplexity, in nats per token, of the calibration texts without each layer.

    The first token of a text is given, not predicted. The forward passes are those of orchard.models.likelihood, with a
    budget of tokens in place of the calibration's batch size.
    """
    layers, losses = len(model.model.layers), []
    rows = [{"prompt_ids": ids[:1], "completion_ids": ids[1:]} for ids in calibration.texts]
    for layer in range(layers):
        with surgery.without(model, [layer]):
            logps = completion_logps(model, rows, calibration.tokenizer.pad_token_id)
        losses.append(-np.concatenate(logps).mean())
        calibration.report(layer + 1, layers)
    return rounded(losses)


@torch.inference_mode()
def watch(model, calibration: CalibrationTexts, see: Callable) -> None:
    """Runs the decoder, without its head, over the texts, and shows what every layer does.

    Args:
        model: a decoder model; it has no hooks of ours afterwards.
        calibration: the texts.
        see: called after each layer of each batch with the layer's number, its input and output, both of shape
            (texts, tokens, hidden size), and the mask of shape (texts, tokens), true where there is a token.
    """
    numbers = {layer: number for number, layer in enumerate(model.model.layers)}

    def hook(layer, args, output) -> None:
        see(numbers[layer], args[0], output, mask)

    handles = [layer.register_forward_hook(hook) for layer in numbers]
    try:
        for batch in calibration.batches(model.device):
            mask = batch["attention_mask"].bool()
            model.model(**batch, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()


def lowest(values: list[float], count: int) -> list[int]:
    """The places of the lowest values, in order (ties: the later one goes first)."""
    return sorted(sorted(range(len(values)), key=lambda n: (values[n], -n))[:count])


def rounded(values) -> list[float]:
    """To 12 decimals: enough to rank by, few enough to read in a record."""
    return [round(float(value), 12) for value in values]
