"""What a process needs before it loads libraries that compute."""

import gc
import os

from orchard import arithmetic, paths, processes

HUB_OFFLINE = os.environ.get("HF_HUB_OFFLINE")  # what the user asked for


def set_up() -> None:
    """Sets the environment of this process and of its children."""
    # The imports of torch and transformers take 5 s with Python's own thresholds, 3.7 s with these.
    gc.set_threshold(100_000, 50, 50)

    # One CPU thread: sums in another order give other bits. A base model may take more (`base.<name>.threads`).
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = "1"

    os.environ["HF_HUB_OFFLINE"] = HUB_OFFLINE or "1"  # only the fetch stage may use the network
    os.environ["HF_DATASETS_CACHE"] = str(paths.SCRATCH / "datasets")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

    # All GPUs but the first are hidden: trainers would split each batch among all they see, unasked.
    if processes.count() == 1 and processes.RANK not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]

    arithmetic.set_up()
