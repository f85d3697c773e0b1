"""What a job does: one module or package per family of stages, named as its rule.

Imports: errors, jsonl, links, paths, processes, yamls, tasks, study, models, report.

What a stage's process needs before its libraries are loaded is set here.
"""

import gc
import os
import sys

from orchard import paths, processes

if sys.argv[:1] == ["-m"]:  # a stage is starting: its libraries take seconds, in which its parent may be killed
    processes.die_with_parent()

# The imports of torch and transformers take 5 s with Python's own thresholds, 3.7 s with these.
gc.set_threshold(100_000, 50, 50)

# One CPU thread: sums in another order give other bits. A base model may take more (`base.<name>.threads`).
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

HUB_OFFLINE = os.environ.get("HF_HUB_OFFLINE")  # what the user asked for
os.environ["HF_HUB_OFFLINE"] = HUB_OFFLINE or "1"  # only the fetch stage may use the network
os.environ["HF_DATASETS_CACHE"] = str(paths.SCRATCH / "datasets")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

# All GPUs but the first are hidden: trainers would split each batch among all they see, unasked.
if processes.count() == 1 and processes.RANK not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
