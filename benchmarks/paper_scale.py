"""What each stage needs for models of billions of parameters: GPU memory, GPU hours and disk, by the formulas below.

    python benchmarks/paper_scale.py

It computes and does not measure. The assumptions stand at the top; docs/cluster.md shows what comes out.
"""

from dataclasses import dataclass

# NVIDIA H100 SXM, data sheet: 80 GB, 3.35 TB/s, 989 TFLOP/s of dense bfloat16.
MEMORY, BANDWIDTH, PEAK = 80e9, 3.35e12, 989e12
USED = 0.4  # of the peak, in training: ours, what well-tuned trainers report at these sizes
READ = 0.5  # of the bandwidth, in generation with transformers: ours, half of what inference engines reach
FLOAT = 4  # bytes: orchard holds weights, gradients and AdamW's two moments in float32
SPARE = 0.8  # of a GPU's memory that a job may plan for; the rest is buffers and fragmentation


@dataclass
class Model:
    """A transformer by its sizes, from its published config.json."""

    name: str
    parameters: float
    layers: int
    width: int
    query_width: int  # heads × width of a head
    key_value_width: int  # key-value heads × width of a head
    inner: int  # width of the feed-forward part
    vocabulary: int


MODELS = [
    Model("Qwen3-1.7B", 1.7e9, 28, 2048, 2048, 1024, 6144, 151_936),
    Model("Qwen3-4B", 4.0e9, 36, 2560, 4096, 1024, 9728, 151_936),
    Model("Llama-3.1-8B", 8.0e9, 32, 4096, 4096, 1024, 14_336, 128_256),
]
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


def state(model: Model) -> float:
    """Bytes of full training: weights, gradients, two moments."""
    return 4 * FLOAT * model.parameters


def activations(model: Model, rows: int = 1) -> float:
    """Bytes with gradient checkpointing: each layer's input in bfloat16, one layer's inside (about 16 widths a token),
    and the logits of a row, twice in float32."""
    tokens = rows * ROW
    return tokens * (2 * model.layers * model.width + 2 * 16 * model.width + 2 * FLOAT * model.vocabulary)


def key_values(model: Model, rows: int = BATCH) -> float:
    """Bytes of the cache of keys and values in float32."""
    return rows * ROW * 2 * model.layers * model.key_value_width * FLOAT


def training_hours(model: Model, tokens: float) -> float:
    """GPU hours at 8 FLOP a parameter and token: 6, and 2 more for gradient checkpointing."""
    return 8 * model.parameters * tokens / (USED * PEAK) / 3600


def generation_hours(model: Model, tokens: float) -> float:
    """GPU hours: each step of a batch reads all weights and the cache, half full on average."""
    step = (FLOAT * model.parameters + key_values(model) / 2) / (READ * BANDWIDTH)
    return tokens / BATCH * step / 3600


def needs(model: Model) -> list[tuple[str, float, float]]:
    """For each stage family: bytes of GPU memory, GPU hours of one job."""
    weights, sampling = FLOAT * model.parameters, FLOAT * model.parameters + key_values(model)
    adapters = weights / 8 + activations(model)  # QLoRA: 4 bits a weight; the adapters' state is small beside them
    rollouts = RL_STEPS * RL_BATCH * RL_LENGTH
    return [
        ("sft", state(model) + activations(model), training_hours(model, SFT_TOKENS)),
        # One row a part (accumulation), BATCH responses sampled at a time (rollout_batch_size), no KL: no second model.
        ("rl", state(model) + max(activations(model), key_values(model)),
         training_hours(model, rollouts) + generation_hours(model, rollouts)),
        ("behave, respond", sampling, generation_hours(model, RESPONSE_TOKENS)),
        ("prune", weights + activations(model), training_hours(model, CALIBRATION_TOKENS) / 4),
        ("recover (four_bit)", adapters, training_hours(model, RECOVERY_TOKENS)),
        ("evaluate", sampling, generation_hours(model, EVALUATION_TOKENS)),
    ]  # fmt: skip


def adapter(model: Model) -> float:
    """Bytes of LoRA's two matrices on every linear map of each layer, in float32."""
    queries, others, widths = model.query_width, model.key_value_width, model.width
    maps = 2 * (widths + queries) + 2 * (widths + others) + 3 * (widths + model.inner)
    return FLOAT * RANK * model.layers * maps


def study(model: Model, size: int) -> float:
    """Bytes of one model of LLP's study on the disk, at so many bytes a parameter; single layers are views."""
    embeddings = model.vocabulary * model.width
    pruned = size * (embeddings + LEFT * (model.parameters - embeddings))
    return size * model.parameters + PRUNED * pruned + RECOVERED * adapter(model)


def main() -> None:
    print("| model | stage | GPU memory, GB | GPUs of 80 GB | GPU hours a job |\n|---|---|---|---|---|")
    for model in MODELS:
        for stage, memory, hours in needs(model):
            gpus = next(count for count in (1, 2, 4, 8, 16) if memory <= count * SPARE * MEMORY)
            time = "< 0.1" if hours < 0.1 else f"{hours:.1f}"
            print(f"| {model.name} | {stage} | {memory / 1e9:.0f} | {gpus} | {time} |")
    print(
        "\n| model | float32, GB | bfloat16, GB | adapter, GB | LLP's study in float32 | in bfloat16 |\n|" + "---|" * 6
    )
    for model in MODELS:
        sizes = [4 * model.parameters, 2 * model.parameters, adapter(model), study(model, 4), study(model, 2)]
        print(f"| {model.name} | {' | '.join(f'{size / 1e9:.2f}' for size in sizes)} |")


if __name__ == "__main__":
    main()
