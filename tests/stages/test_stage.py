"""What every stage shares: an output appears whole or not at all; a user's mistake is one message."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchard.stages import stage
from tests.helpers.messages import assert_one_message
from tests.helpers.stages import ENVIRONMENT


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fail_in(place):
    """Writes something, then fails."""
    with place as scratch:
        scratch.write_text("half")
        scratch.mkdir()


def test_an_output_that_fails_leaves_the_earlier_one():
    path = Path("data/x.txt")
    with stage.output(path) as scratch:
        scratch.write_text("first")
    with pytest.raises(FileExistsError):
        fail_in(stage.output(path))
    assert path.read_text() == "first"


def test_a_mistake_is_one_message_without_a_traceback():
    code = (
        "from orchard import jsonl\n"
        "from orchard.stages import stage\n"
        "stage.run(lambda: jsonl.read('nowhere.jsonl'), is_named=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert_one_message(done.stderr, ["nowhere.jsonl"])
    assert len(done.stderr.strip().splitlines()) == 4
