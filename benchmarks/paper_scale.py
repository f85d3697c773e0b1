"""What each stage needs for models of billions of parameters: GPU memory and GPU hours, by the formulas below.

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
    key_value_width: int  # key-value heads × width of a head
    vocabulary: int


MODELS = [
    Model("Qwen3-1.7B", 1.7e9, 28, 2048, 1024, 151_936),
    Model("Qwen3-4B", 4.0e9, 36, 2560, 1024, 151_936),
    Model("Llama-3.1-8B", 8.0e9, 32, 4096, 1024, 128_256),
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


def main() -> None:
    print("| model | stage | GPU memory, GB | GPUs of 80 GB | GPU hours a job |\n|---|---|---|---|---|")
    for model in MODELS:
        for stage, memory, hours in needs(model):
            gpus = next(count for count in (1, 2, 4, 8, 16) if memory <= count * SPARE * MEMORY)
            time = "< 0.1" if hours < 0.1 else f"{hours:.1f}"
            print(f"| {model.name} | {stage} | {memory / 1e9:.0f} | {gpus} | {time} |")


if __name__ == "__main__":
    main()
