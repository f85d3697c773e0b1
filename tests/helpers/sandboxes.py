"""Whether programs can be locked in on this machine."""

import shutil

import pytest

needs_bubblewrap = pytest.mark.skipif(not shutil.which("bwrap"), reason="`apt install bubblewrap`")
