"""Makes a base model: pretrained here, or loaded from a folder or a GGUF file.

python -m orchard.stages.base NAME
"""

from pathlib import Path

import torch

from orchard import paths
from orchard.models import card
from orchard.processes import Progress
from orchard.stages import kept, stage
from orchard.stages.base import load, pretrain
from orchard.study.schema.base import BaseRun, Pretraining


def main(name: str) -> None:
    run = stage.params(BaseRun, "runs", "base", name)
    base = run.settings
    torch.set_num_threads(base.threads)
    target = paths.model(f"base-{name}")
    facts, inputs = {}, [Path(base.source)]
    with stage.output(target) as scratch:
        if isinstance(base, Pretraining):
            with kept.resumable(target, __spec__.name, inputs, run) as state:
                steps = pretrain.pretrain(base, run.seed, scratch, state, Progress(f"base@{name}", base.steps))
                rows = f"{steps} steps of {base.batch_size} rows"
                made = f"pretrained from random weights on {base.source}, seed {run.seed}: {rows}"
        else:
            made, facts = load.load(base, scratch)
            inputs += [Path(base.format.template)] if run.template else []
        chain = {"base": f"base-{name}", "seed": run.seed}
        card.finish(scratch, target.name, "base", base, inputs, step=made, licence=base.license, **chain, **facts)


if __name__ == "__main__":
    stage.run(main, parallel=True)
