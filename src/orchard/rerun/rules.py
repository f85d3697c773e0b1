"""What the Snakefile and the rules ask of the graph: in the main process of a run, and in a job's own.

On a cluster each job is a Snakemake of its own, twice over. It gets the graph that the run noted when it began, so it
needs neither DVC nor the study, and reads no dvc.lock: that would take longer than many a stage.
"""

import os
import re
import sys
import warnings
from pathlib import Path

from snakemake.io import ancient

from orchard import processes
from orchard.errors import of_machine
from orchard.lineage.graph import Graph
from orchard.rerun import began, dvc_patches


class Rules:
    """The graph as rules see it. In a job's own process: the main process has decided what runs.

    Args:
        workflow: Snakemake's workflow object.
    """

    def __init__(self, workflow):
        self.workflow = workflow
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        os.environ |= processes.surroundings() | {"PYTHONPATH": str(processes.own_code())}
        if "error" in sys.warnoptions:  # a warning of a library is none
            warnings.simplefilter("ignore")
        self.graph = or_exit(self._read)
        dvc_patches.ignore_time_stamps(workflow, self.forced)

    def _read(self) -> Graph:
        return began.stages()

    def forced(self) -> list[str]:
        """The outputs that are made anew, whatever Snakemake thinks of them."""
        return []

    @property
    def outputs(self) -> list[str]:
        """The outputs of all stages; in a job's own process none: it has only its job to do."""
        return []

    def family(self, name: str) -> str:
        """A pattern of the outputs of one family of stages; of a family without any, one that nothing matches."""
        outs = [re.escape(stage.out) for stage in self.graph.stages.values() if stage.family == name]
        return "|".join(outs) or "$none"

    def inputs(self, wildcards) -> list:
        """What a stage reads, without code: outputs of other stages, and files from outside."""
        return [ancient(path) for path in self.read_by(wildcards)]

    def read_by(self, wildcards) -> list[str]:
        """The paths of ``inputs``."""
        stage = self.graph.outs[wildcards.path]
        return [path for dep in stage.inputs for path in self.graph.made(dep) or [dep]]

    def stage(self, wildcards) -> str:
        """The name of a stage in DVC."""
        return self.graph.outs[wildcards.path].name

    def threads(self, wildcards) -> int:
        """The CPU threads that a base model is made with."""
        return self.graph.outs[wildcards.path].threads

    def on_start(self) -> None:
        """When jobs are about to start."""

    def on_end(self) -> None:
        """When the last job has ended."""

    def on_success(self) -> None:
        """When every job has done its work."""


def or_exit(function, *arguments):
    """What a function returns; a user's mistake, or what the machine refuses, ends in one message and exit status 1."""
    try:
        return function(*arguments)
    except Exception as error:
        if not (message := of_machine(error)):
            raise
        print(f"\n{message}\n", file=sys.stderr)
        sys.exit(1)
