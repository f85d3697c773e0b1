"""Whether programs can be locked in on this machine, and a program that need do nothing but run to its end."""

import shutil

import pytest

from orchard.sandbox import sandbox
from orchard.sandbox.sandbox import Outcome, Suite

needs_bubblewrap = pytest.mark.skipif(not shutil.which("bwrap"), reason="`apt install bubblewrap`")


def run(program: str, script: str = "assert answer == 42", **options) -> Outcome:
    """The outcome of a program that in its last line says what ``answer`` is, which the tests then ask for."""
    return sandbox.run(f"{program}\nanswer = 42", Suite(script), **options)
