"""What each stage needs for models of billions of parameters: GPU memory, GPU hours and disk, by formula alone.

    python -m orchard.estimate.paper_scale

It prints the tables of docs/cluster.md. Nothing is measured; the assumptions stand at the top.
"""

from collections.abc import Iterator
from typing import NamedTuple

from orchard.estimate import formulas
from orchard.estimate.architectures import KNOWN, shape_of
from orchard.estimate.formulas import FLOAT, HALF, Shape

# NVIDIA H100 SXM, data sheet: 80 GB, 3.35 TB/s, 989 TFLOP/s of dense bfloat16.
MEMORY, BANDWIDTH, PEAK = 80e9, 3.35e12, 989e12
USED = 0.4  # of the peak, in training: ours, what well-tuned trainers report at these sizes
READ = 0.5  # of the bandwidth, in generation with transformers: ours, half of what inference engines reach
SPARE = 0.8  # of a GPU's memory that a job may plan for; the rest is buffers and fragmentation
GPUS = (1, 2, 4, 8, 16)  # counts that divide batches
MODELS = ["Qwen3-1.7B", "Qwen3-4B", "Llama-3.1-8B"]
# What the papers' studies do; where a paper does not say, ours: rows × tokens a row.
SFT_TOKENS = 10_000 * 4_096  # ours: PEAR gives no size; 10,000 rows of reasoning
RL_STEPS, RL_BATCH, RL_LENGTH = 200, 64 * 8, 2_048  # ours: PEAR gives no recipe; 64 prompts × 8 samples a step
RECOVERY_TOKENS = 11_250 * 8 * 1_024  # LLP: 11,250 steps of 8 rows; ours: 1,024 tokens a row on average
RESPONSE_TOKENS = 100_000 * 1_024  # LLP: 100,000 prompts; ours: 1,024 tokens a response on average
EVALUATION_TOKENS = 5_000 * 4 * 1_024  # ours: 5,000 generated items, 4 samples each
CALIBRATION_TOKENS = 256 * 2_048  # ours
BATCH = 16  # sequences generated side by side: ours, so that 8 B fits on one GPU, on which generation runs
ROW = 4_096  # tokens of the longest row: ours
RANK = 64  # LLP: of LoRA
# LLP: three methods at three ratios, each recovered on four kinds of data; ours: a fifth of the layers on average
PRUNED, LEFT, RECOVERED = 9, 0.8, 36
FOUR_BIT = 0.55  # bytes a parameter of a layer in NF4 with double quantization: 4 bits, and scales of .4 bits


class Need(NamedTuple):
    """What a job needs.

    Attributes:
        stage: its family.
        memory: bytes of GPU memory.
        hours: of GPUs.
    """

    stage: str
    memory: float
    hours: float


def backward(shape: Shape) -> int:
    """Bytes of the activations of a row with gradient checkpointing, under autocast to bfloat16, and of its logits."""
    return formulas.activations(shape, ROW, HALF, checkpointing=True) + formulas.logits(shape, ROW)


def hours_of(flop: float) -> float:
    return flop / (USED * PEAK) / 3600


def generation_hours(shape: Shape, tokens: float, size: int) -> float:
    """GPU hours: each step of a batch reads all weights and the cache, half full on average."""
    step = (formulas.weights(shape, size) + formulas.key_values(shape, BATCH * ROW, size) / 2) / (READ * BANDWIDTH)
    return tokens / BATCH * step / 3600


def needs(shape: Shape) -> Iterator[Need]:
    """For each stage family what a job needs. What is not trained is held in bfloat16 (`loading.dtype`)."""
    trained = formulas.adamw(shape.parameters)
    half, cache = formulas.weights(shape, HALF), formulas.key_values(shape, BATCH * ROW, HALF)
    yield Need(
        "sft", trained + backward(shape), hours_of(formulas.training_flop(shape, SFT_TOKENS, checkpointing=True))
    )
    # One row a part (accumulation), BATCH responses sampled at a time (rollout_batch_size) in float32, as the weights
    # are; no KL, so no second model.
    rollouts = RL_STEPS * RL_BATCH * RL_LENGTH
    rl_hours = hours_of(formulas.training_flop(shape, rollouts, checkpointing=True))
    yield Need(
        "rl",
        trained + max(backward(shape), formulas.key_values(shape, BATCH * ROW, FLOAT)),
        rl_hours + generation_hours(shape, rollouts, FLOAT),
    )
    yield Need("behave, respond", half + cache, generation_hours(shape, RESPONSE_TOKENS, HALF))
    reading = formulas.FORWARD * shape.working * CALIBRATION_TOKENS
    yield Need("prune", half + formulas.activations(shape._replace(layers=1), ROW, HALF), hours_of(reading))
    learnt = formulas.adamw(formulas.adapter_parameters(shape, RANK)) + backward(shape)
    recovery = hours_of(formulas.adapter_flop(shape, RECOVERY_TOKENS, checkpointing=True))
    yield Need("recover (lora)", half + learnt, recovery)
    held = FOUR_BIT * shape.layers * shape.layer_parameters + HALF * shape.other_parameters
    yield Need("recover (four_bit)", held + learnt, recovery)
    yield Need("evaluate", half + cache, generation_hours(shape, EVALUATION_TOKENS, HALF))


def study_disk(shape: Shape, size: int) -> float:
    """Bytes of one model of LLP's study on the disk; single layers are views."""
    pruned = formulas.weights(shape.deep(round(LEFT * shape.layers)), size)
    return formulas.weights(shape, size) + PRUNED * pruned + RECOVERED * formulas.adapter(shape, RANK)


def memory_table() -> str:
    """Memory and hours, as a table of Markdown."""
    lines = ["| model | stage | GPU memory, GB | GPUs of 80 GB | GPU hours a job |", "|---|---|---|---|---|"]
    for name in MODELS:
        for need in needs(shape_of(KNOWN[name])):
            count = next(each for each in GPUS if need.memory <= each * SPARE * MEMORY)
            time = "< 0.1" if need.hours < 0.1 else f"{need.hours:.1f}"
            lines.append(f"| {name} | {need.stage} | {need.memory / 1e9:.0f} | {count} | {time} |")
    return "\n".join(lines)


def disk_table() -> str:
    """Disk in GB, as a table of Markdown."""
    lines = ["| model | float32 | bfloat16 | adapter | the study in float32 | in bfloat16 | a resume state |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in MODELS:
        shape = shape_of(KNOWN[name])
        sizes = [formulas.weights(shape), formulas.weights(shape, HALF), formulas.adapter(shape, RANK)]
        sizes += [study_disk(shape, FLOAT), study_disk(shape, HALF), formulas.resume_state(shape.parameters)]
        lines.append(f"| {name} | {' | '.join(f'{size / 1e9:.3g}' for size in sizes)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(memory_table(), disk_table(), sep="\n\n")
