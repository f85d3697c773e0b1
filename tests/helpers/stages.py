"""Stages in tests: their commands as dvc.yaml writes them, and training that is killed on its way."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from orchard import paths
from orchard.models import training
from orchard.study.schema.common import Run
from tests.helpers.project import ROOT

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


def command(family: str, name: str, run: Run | None = None) -> list[str]:
    """The command of one run of a family of stages."""
    return [sys.executable, "-m", f"orchard.stages.{family}", name, *options(run)]


def options(run: Run | None) -> list[str]:
    """What the command says of a run behind its name."""
    words = []
    for key, value in run.model_dump(exclude_none=True).items() if run else ():
        words += [f"--{key}", *map(str, value if isinstance(value, list) else [value])]
    return words


@contextlib.contextmanager
def killed_after(step: int) -> Iterator[None]:
    """A block whose training ends in the middle, after a step that no checkpoint has."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise KeyboardInterrupt

    with mock.patch.object(training.ProgressCallback, "on_step_end", on_step_end), pytest.raises(KeyboardInterrupt):
        yield


def state_of(output: Path) -> Path:
    """The one folder of an output's resume state."""
    (found,) = (paths.RESUME / output).iterdir()
    return found
