"""Runs a stage in two processes under FSDP on the CPU, by gloo, which accelerate by itself does on GPUs alone.

python -m tests.helpers.fsdp_on_cpu MODULE [ARGUMENT ...]

The launch, its settings and the stage are orchard's own. Only what accelerate takes for backend and device is changed.
"""

import os
import runpy
import sys

from orchard import processes
from orchard.stages import stage


def use_gloo() -> None:
    """Makes accelerate take the CPU for the device of GPU processes that speak by gloo."""
    import torch.distributed
    from accelerate import state
    from accelerate.utils import DistributedType

    def prepare(self, *_) -> tuple[str, DistributedType]:
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        return "gloo", DistributedType.MULTI_GPU

    state.PartialState._prepare_backend = prepare
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"


if __name__ == "__main__":
    if processes.RANK not in os.environ:
        stage.launch(2)
    use_gloo()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
