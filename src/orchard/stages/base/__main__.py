"""Makes a base model: pretrained here, or loaded from a folder or a GGUF file.

python -m orchard.stages.base NAME
"""

from pathlib import Path

import torch

from orchard import paths
from orchard.models import card
from orchard.processes import Progress
from orchard.stages import stage
from orchard.stages.base import load, pretrain
from orchard.study.schema.base import Base, Pretrained


def main(name: str) -> None:
    base = stage.params(Base, "base", name)
    torch.set_num_threads(base.threads)
    target = paths.model(f"base-{name}")
    with stage.output(target) as scratch:
        if isinstance(base, Pretrained):
            with stage.resumable(target) as state:
                steps = pretrain.pretrain(base, scratch, state, Progress(f"base@{name}", base.steps))
                made = f"pretrained from random weights on {base.source}: {steps} steps of {base.batch_size} rows"
        else:
            load.load(base, scratch)
            made = f"loaded from {base.source} ({base.kind}) as float32"
        inputs = [Path(base.source)]
        card.finish(scratch, f"base-{name}", "base", base, inputs, step=made, licence=base.license)


if __name__ == "__main__":
    stage.run(main, parallel=True)
