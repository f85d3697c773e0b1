"""What tests of stages share."""

import pytest

from tests.helpers import small_study as small


@pytest.fixture
def small_study(tmp_path, monkeypatch) -> None:
    """A working folder with the study of tests.helpers.small_study."""
    monkeypatch.chdir(tmp_path)
    small.make()
