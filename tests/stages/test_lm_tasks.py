"""The data of lm-eval's tasks: kept as they were loaded, and read again without asking anybody."""

import json
from pathlib import Path

import datasets
import pytest

from orchard.errors import UserError
from orchard.stages import lm_tasks
from orchard.stages.lm_tasks import Request

LABELS = datasets.ClassLabel(names=["no", "yes"])
ROWS = datasets.Dataset.from_dict(
    {"text": ["a", "b\u2028c"], "label": [1, 0]},
    features=datasets.Features({"text": datasets.Value("string"), "label": LABELS}),
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()


def test_splits_come_back_with_their_types():
    request = Request("some/set", "main", {"revision": "a" * 40})
    lm_tasks.keep(request, datasets.DatasetDict({"test": ROWS, "train": ROWS.select([1])}), Path("kept"))
    with lm_tasks.reading(Path("kept")):
        found = datasets.load_dataset(path="some/set", name="main", trust_remote_code=True)
        rows = datasets.load_dataset("some/set", "main")["test"]
    assert list(found) == ["test", "train"]
    assert rows.to_list() == ROWS.to_list()
    assert rows.features == ROWS.features
    assert rows.features["label"].int2str(1) == "yes"
    assert found["train"].to_list() == ROWS.to_list()[1:]


def test_the_same_rows_are_the_same_bytes():
    contents = []
    for name in ("once", "again"):
        Path(name).mkdir()
        for config in ("b", "a") if name == "once" else ("a", "b"):
            lm_tasks.keep(Request("some/set", config, {}), datasets.DatasetDict({"test": ROWS}), Path(name))
        files = sorted(file for file in Path(name).rglob("*") if file.is_file())
        contents.append([(str(file.relative_to(name)), file.read_bytes()) for file in files])
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3


def test_a_split_that_was_asked_for_alone_comes_back_alone():
    request = Request("some/set", None, {"split": "test"})
    lm_tasks.keep(request, ROWS, Path("kept"))
    with lm_tasks.reading(Path("kept")):
        assert datasets.load_dataset("some/set", split="test").to_list() == ROWS.to_list()
        with pytest.raises(UserError, match="the data set some/set, split train, which kept does not hold"):
            datasets.load_dataset("some/set", split="train")


@pytest.mark.parametrize("options", [{"name": "other"}, {"data_files": "x.json"}])
def test_what_was_not_fetched_is_refused(options):
    lm_tasks.keep(Request("some/set", "main", {}), ROWS, Path("kept"))
    with lm_tasks.reading(Path("kept")), pytest.raises(UserError, match="kind: lm-eval-data"):
        datasets.load_dataset("some/set", **options)


def test_a_folder_with_the_name_of_a_data_set_is_not_that_data_set():
    Path("some/set").mkdir(parents=True)
    Path("some/set/test.jsonl").write_text('{"secret": 1}\n')
    with lm_tasks.reading(None), pytest.raises(UserError, match="the data set some/set, which nothing here"):
        datasets.load_dataset("some/set")


def test_files_beside_a_task_are_read_as_ever_and_addresses_are_not():
    Path("own.jsonl").write_text(json.dumps({"n": 1}) + "\n")
    ask = datasets.load_dataset
    with lm_tasks.reading(None):
        assert datasets.load_dataset("json", data_files={"test": "own.jsonl"})["test"].to_list() == [{"n": 1}]
        with pytest.raises(UserError, match="https://example"):
            datasets.load_dataset("json", data_files="https://example.org/own.jsonl")
    assert datasets.load_dataset is ask
