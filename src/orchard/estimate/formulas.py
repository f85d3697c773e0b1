"""Bytes and hours of decoder models by formula: weights, AdamW's states, activations, keys and values, checkpoints.

tests/estimate/test_formulas.py compares each with what torch holds, or writes.
"""

from typing import NamedTuple

FLOAT, HALF = 4, 2  # bytes of a number in float32, and in bfloat16
MOMENTS = 2  # AdamW's
# Of a layer, what its backward pass needs of each token, in numbers. Of each of two norms: its input, what it made of
# it, and that times its weights. Of attention: queries, keys and values as it reads them (keys and values repeated for
# each query head), and its output, twice. Of the feed-forward part: four times what is as wide as itself.
WIDTHS, QUERIES, INNERS = 6, 5, 4
LOGITS = 2  # in float32: what the head gives, and its softmax or its gradient
# FLOP a parameter and token: 2 forward, 4 backward, of which 2 for the gradients of weights.
FORWARD, TRAINING, RECOMPUTED = 2, 6, 8


class Shape(NamedTuple):
    """The sizes of a decoder model.

    Attributes:
        layers: how many.
        width: of the hidden states.
        inner: width of the feed-forward part.
        query_width: heads × width of a head.
        key_value_width: key-value heads × width of a head.
        vocabulary: rows of the embedding.
        layer_parameters: of one layer.
        other_parameters: embedding, head unless it is tied to it, and last norm.
        linear_widths: of a layer's linear maps, widths in and out together.
    """

    layers: int
    width: int
    inner: int
    query_width: int
    key_value_width: int
    vocabulary: int
    layer_parameters: int
    other_parameters: int
    linear_widths: int

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        return self.layers * self.layer_parameters + self.other_parameters

    @property
    def working(self) -> int:
        """The parameters that a token is multiplied with: the head counts once, whether it is tied or not."""
        return self.layers * self.layer_parameters + self.vocabulary * self.width

    def deep(self, layers: int) -> "Shape":
        """The same model of another number of layers."""
        return self._replace(layers=layers)


def weights(shape: Shape, size: int = FLOAT) -> int:
    """Bytes of the weights; the same on the disk, where a header of some kilobytes is added."""
    return size * shape.parameters


def adamw(parameters: int) -> int:
    """Bytes of what full training holds in float32: weights, gradients and AdamW's two moments."""
    return (2 + MOMENTS) * FLOAT * parameters


def resume_state(parameters: int) -> int:
    """Bytes of a resume state on the disk: weights and moments."""
    return (1 + MOMENTS) * FLOAT * parameters


def adapter_parameters(shape: Shape, rank: int) -> int:
    """Of LoRA's two matrices on every linear map of each layer."""
    return rank * shape.layers * shape.linear_widths


def adapter(shape: Shape, rank: int) -> int:
    """Bytes of an adapter on the disk, in float32."""
    return FLOAT * adapter_parameters(shape, rank)


def inside(shape: Shape) -> int:
    """Numbers that the backward pass of one layer keeps of each token."""
    return WIDTHS * shape.width + QUERIES * shape.query_width + INNERS * shape.inner


def activations(shape: Shape, tokens: int, size: int = FLOAT, *, checkpointing: bool = False) -> int:
    """Bytes that a backward pass keeps of so many tokens; the head's logits are not among them.

    With checkpointing each layer keeps its input alone, and one layer at a time has its inside.
    """
    layer = size * tokens * inside(shape)
    return layer + shape.layers * size * tokens * shape.width if checkpointing else shape.layers * layer


def logits(shape: Shape, tokens: int) -> int:
    """Bytes of the logits of so many tokens while a loss is computed."""
    return LOGITS * FLOAT * tokens * shape.vocabulary


def key_values(shape: Shape, tokens: int, size: int = FLOAT) -> int:
    """Bytes of the keys and values of so many tokens, of all rows together."""
    return size * tokens * 2 * shape.layers * shape.key_value_width


def training_flop(shape: Shape, tokens: float, *, checkpointing: bool = False) -> float:
    """Floating-point operations of training on so many tokens; attention's own products are left out."""
    return (RECOMPUTED if checkpointing else TRAINING) * shape.working * tokens


def adapter_flop(shape: Shape, tokens: float, *, checkpointing: bool = False) -> float:
    """The same of adapters, whose training takes no gradients of the weights below them."""
    return training_flop(shape, tokens, checkpointing=checkpointing) - FORWARD * shape.working * tokens
