"""The SFT stage as a whole: the same bytes each time, also after a kill; what each arm's record and curve say."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas
import pytest
import torch

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.models import folders, record, training
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft import __main__ as sft
from orchard.study.schema.common import Lora, MaxLength
from orchard.study.schema.sft import LastTokens, Objective, SelectLikely, SftRun
from tests.helpers.llama import random_llama, save_base
from tests.helpers.objectives import PEAR, TRAINER, objective, pear_weights, teacher_rows
from tests.helpers.stages import ENVIRONMENT, command, killed_after, state_of
from tests.helpers.studies import write_params

SETTINGS = TRAINER.model_copy(update={"save_steps": 2})
LORA = Lora(rank=2, alpha=4.0, dropout=0.1)
OBJECTIVES = {
    "none": Objective(loss="none"),
    "nll": objective(),
    "dft": objective("dft"),
    "likely": Objective(loss="nll", select=SelectLikely(kind="likelihood", keep=0.5), learning_rate=1e-3),
    "pear": objective("nll", PEAR),
    "shuffled": objective("nll", pear_weights(shuffle="tokens")),
    "last": objective("nll", LastTokens(kind="last-tokens", share=0.25)),
    "kl-stored": objective("kl-stored"),
    "kl-live": objective("kl-live", PEAR),
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> None:
    """A working folder with a base, a policy's data and each objective; runs are in this process."""
    monkeypatch.chdir(tmp_path)
    save_base(random_llama(), paths.model("base-random"))
    data = paths.behaviour("teacher")
    folders.save(random_llama(seed=4), make_tokenizer(), data / "policy")
    pandas.DataFrame(teacher_rows(32)).to_parquet(data / "rows.parquet")
    write_study()


def write_study(**changes) -> None:
    """Writes params.yaml with all objectives; ``changes`` go into what all arms share."""
    objectives = {name: each.model_dump() for name, each in OBJECTIVES.items()}
    common = SETTINGS.model_copy(update=changes).model_dump()
    write_params({"sft.objectives": objectives, "sft.trainer": common})


def run_of(name: str) -> SftRun:
    """The run of an objective, with seed 1."""
    return SftRun(arm=name, objective=name, base="base-random", data="teacher", seed=1, draw=0)


def finetuned(name: str) -> Path:
    """Runs the stage for an objective; returns its output."""
    sft.main(f"{name}-1", run_of(name))
    return paths.model(f"sft-{name}-1")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_runs_are_the_same_bytes(name):
    folder = finetuned(name)
    first = record.content_hash(folder)
    shutil.rmtree(folder)
    assert record.content_hash(finetuned(name)) == first
    facts = record.read(folder)
    assert facts["settings"] == {"objective": OBJECTIVES[name].model_dump(), "trainer": SETTINGS.model_dump()}
    moved = folders.drift(paths.model("base-random"), folder)["absolute"]
    if name == "none":
        assert moved == 0
    else:
        rows = 16 if name == "likely" else 32
        assert (facts["learnt"]["rows"], facts["learnt"]["of_rows"]) == (rows, 32)
        assert len(jsonl.read(folder / "curve.jsonl")) == rows // 8
        assert moved > 0


@pytest.mark.parametrize("beyond", ["refuse", "drop"])
def test_a_row_that_is_too_long_is_refused_or_counted(beyond):
    rows = pandas.read_parquet(paths.behaviour("teacher") / "rows.parquet").to_dict("records")
    lengths = sorted(len(row["prompt_ids"]) + len(row["completion_ids"]) for row in rows)
    longest = lengths[15]
    write_study(max_length=MaxLength(tokens=longest, beyond=beyond))
    too_long = sum(length > longest for length in lengths)
    if beyond == "refuse":
        with pytest.raises(UserError, match=f"{too_long} of 32 rows are longer .*, the longest {lengths[-1]}"):
            finetuned("pear")
        return
    facts = record.read(finetuned("pear"))
    kept = 32 - too_long
    assert [facts["learnt"][name] for name in ("rows", "of_rows", "too_long")] == [kept, kept, too_long]
    assert f"{too_long} more left out as longer than max_length" in facts["history"][-1]


def test_rows_that_are_all_too_long_are_no_rows():
    write_study(max_length=MaxLength(tokens=1, beyond="drop"))
    with pytest.raises(UserError, match="each of 32 rows is longer than max_length"):
        finetuned("pear")


def test_without_a_longest_length_nothing_is_counted():
    assert record.read(finetuned("nll"))["learnt"]["too_long"] is None


@pytest.mark.parametrize("name", ["nll", "pear", "shuffled", "kl-stored", "pear with lora"])
def test_a_killed_run_goes_on_to_the_same_bytes(name):
    write_study(lora=LORA if "lora" in name else None)
    name = name.split()[0]
    folder = finetuned(name)
    undisturbed = folder.rename("undisturbed")
    with killed_after(3):
        finetuned(name)
    assert not folder.exists()
    assert training.last_checkpoint(state_of(folder)).endswith("checkpoint-2")
    assert record.content_hash(finetuned(name)) == record.content_hash(undisturbed)
    assert not (paths.RESUME / folder).exists()


def test_a_policy_that_ends_otherwise_is_learnt_with_the_models_own_end():
    weights = folders.load_model(finetuned("nll")).state_dict()
    rows = teacher_rows(32)
    for row in rows:
        row["completion_ids"] = [*row["completion_ids"][:-1], make_tokenizer().pad_token_id]
    pandas.DataFrame(rows).to_parquet(paths.behaviour("teacher") / "rows.parquet")
    facts = record.read(finetuned("nll"))
    assert (facts["learnt"]["ends_mapped"], facts["learnt"]["asked_anew"]) == (32, 0)
    assert "32 ends of its policy made this model's" in facts["history"][-1]
    mapped = folders.load_model(paths.model("sft-nll-1")).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in mapped.items())


def test_the_command():
    subprocess.run(command("sft", "pear-1", run_of("pear")), check=True, capture_output=True, env=ENVIRONMENT)
    assert record.read(paths.model("sft-pear-1"))["objective"] == "pear"
    assert json.loads((paths.PROGRESS / "sft@pear-1.json").read_text()) == {"done": 4, "total": 4}
