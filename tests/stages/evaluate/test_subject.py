"""What is evaluated: views without a layer, and adapters, give the scores of models that are written whole."""

import json
from pathlib import Path

import pandas
import pytest

from orchard import jsonl, paths
from orchard.models import adapters, card, folders, loading, record, surgery, whole
from orchard.models.finetuning import adapter
from orchard.stages.evaluate import __main__ as evaluate
from orchard.study.schema.common import Lora
from orchard.study.schema.evaluate import Evaluate, EvaluateRun, GenerationTask, ScoredTask
from orchard.tasks import generated, registry
from tests.helpers.llama import save_base
from tests.helpers.studies import write_params
from tests.helpers.tiny import TYPES, tiny

MODEL = "base-random"
ASKED = Evaluate(
    seed=7,
    batch_size=8,
    tasks={
        "calc": GenerationTask(kind="generation", items="calc.jsonl", samples=2, temperature=1.0, max_new_tokens=8),
        "cmp": ScoredTask(kind="choice", items="cmp.jsonl"),
        "nats": ScoredTask(kind="likelihood", items="calc.jsonl"),
    },
)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> None:
    """A working folder with two sets of items and a study."""
    monkeypatch.chdir(tmp_path)
    for name, prompts in (("calc", "calc {0} + {1} :"), ("cmp", "cmp {0} {1} :")):
        items = [generated.make_item(name, prompts.format(n, n + 1), n, "eval") for n in range(5)]
        jsonl.write(Path(f"{name}.jsonl"), registry.stamped(items))
    write_params({"evaluate": ASKED.model_dump()})


def scored(name: str, **run) -> dict[str, bytes]:
    """Runs the stage; gives what it wrote of scores and samples."""
    evaluate.main(name, EvaluateRun(**run))
    return {file: (paths.evaluation(name) / f"{file}.parquet").read_bytes() for file in ("scores", "samples")}


def facts_of(name: str) -> dict:
    return json.loads((paths.evaluation(name) / record.FILE).read_text())


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gemma2", "gemma3_text"])
def test_a_view_without_a_layer_scores_as_the_model_that_lacks_it(model_type):
    save_base(tiny(model_type), paths.model(MODEL))
    cut = folders.load_model(paths.model(MODEL))
    surgery.drop_layers(cut, [2])
    save_base(cut, paths.model("base-cut"))
    unpruned, view = scored(MODEL, model=MODEL), scored(f"prune-{MODEL}-skip-2", model=MODEL, layer=2)
    assert view == scored("base-cut", model="base-cut")
    assert view["scores"] != unpruned["scores"]
    assert not paths.model(f"prune-{MODEL}-skip-2").exists()
    assert model_type in TYPES


def test_the_record_of_a_view_says_what_a_pruned_models_would():
    save_base(tiny("llama"), paths.model(MODEL))
    name = f"prune-{MODEL}-skip-1"
    scored(name, model=MODEL, layer=1)
    found = facts_of(name)
    assert found["model"] == name
    assert set(found["inputs"]) == {f"results/models/{MODEL}", "calc.jsonl", "cmp.jsonl"}
    assert found["chosen_on"] == {"prompts": 0, "shared": 0}
    assert found["loading"] == loading.settings().model_dump()
    own = found["model_record"]
    expected = {"stage": "prune", "of": MODEL, "method": "skip", "ratio": 0.25, "dropped": [1], "base": MODEL}
    assert {key: own[key] for key in expected} == expected
    assert (own["seed"], own["block_influence"]) == (None, None)
    assert own["history"][-1] == "layer 1 of 4 left out while it was evaluated"
    scored(MODEL, model=MODEL)
    assert facts_of(MODEL)["model_record"] == record.read(paths.model(MODEL))
    assert facts_of(MODEL)["chosen_on"] is None


def keep_adapter(folder: Path, start: Path) -> None:
    """An untrained adapter, but for one matrix."""
    from peft import get_peft_model

    model = get_peft_model(folders.load_model(start), adapter(Lora(rank=2, alpha=4.0)))
    next(value for name, value in model.named_parameters() if "lora_B" in name).data.fill_(0.3)
    folders.save_trained(model, folders.load_tokenizer(start), folder, start)
    card.finish(folder, folder.name, "sft", {}, [start], step="finetuned", start=start, base=MODEL, seed=None)


def test_an_adapter_and_a_view_of_it_score_as_the_merged_model():
    save_base(tiny("llama"), paths.model(MODEL))
    folder = paths.model("sft-nll-1")
    keep_adapter(folder, paths.model(MODEL))
    assert adapters.is_kept(folder)
    whole.write(folder, paths.model("base-merged"))
    whole.write(folder, paths.model("base-cut"), dropped=[3])
    assert scored("sft-nll-1", model="sft-nll-1") == scored("base-merged", model="base-merged")
    assert scored("prune-sft-nll-1-skip-3", model="sft-nll-1", layer=3) == scored("base-cut", model="base-cut")


def test_a_folder_that_another_engine_reads_is_whole_and_goes_afterwards():
    save_base(tiny("llama"), paths.model(MODEL))
    with whole.written(paths.model(MODEL), [0, 1]) as written:
        assert folders.load_model(written).config.num_hidden_layers == 2
    assert not written.exists()
    with whole.written(paths.model(MODEL)) as written:
        assert written == paths.model(MODEL)
    assert written.exists()


def test_scores_in_16_bits_are_close_to_those_in_32():
    save_base(tiny("llama", initializer_range=0.02), paths.model(MODEL))
    found = []
    for dtype in ("float32", "bfloat16"):
        write_params({"evaluate": ASKED.model_dump(), "loading.dtype": dtype, "arithmetic": "fast"})
        scored(MODEL, model=MODEL)
        scores = pandas.read_parquet(paths.evaluation(MODEL) / "scores.parquet")
        found.append(scores[scores["task"] == "nats"]["value"].to_numpy())
    assert found[0] == pytest.approx(found[1], abs=0.02)
    assert list(found[0]) != list(found[1])
    assert facts_of(MODEL)["loading"]["dtype"] == "bfloat16"
