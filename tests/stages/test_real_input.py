"""Input from outside: fetched wheels and hub folders, benchmark files, GGUF models."""

import hashlib
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import gguf
import numpy
import pytest
import torch
import yaml
from transformers.models.llama import LlamaForCausalLM

from orchard.errors import UserError
from orchard.models import folders as models
from orchard.stages import fetch, ingest, stage
from orchard.stages.base import load
from orchard.tasks import items
from tests.helpers.llama import random_llama

STUDY = Path(__file__).parents[1] / "studies/smollm2.yaml"


def settings(path: Path, form: str, limit: int | None = None, seed: int = 1, offset: int = 0) -> dict:
    return {"role": "eval", "path": str(path), "format": form, "limit": limit, "offset": offset, "seed": seed}


def write_rows(file: Path, rows: list[dict]) -> Path:
    stage.write_jsonl(file, rows)
    return file


def gsm8k_rows(count: int) -> list[dict]:
    return [
        {"question": f"What is {n} + 1?", "answer": f"It is {n}+1=<<{n}+1={n + 1}>>{n + 1}.\n#### {n + 1}"}
        for n in range(count)
    ]


def blimp_rows(name: str, count: int) -> list[dict]:
    return [
        {"sentence_good": f"Good {name} {n}.", "sentence_bad": f"Bad {name} {n}.", "UID": name} for n in range(count)
    ]


# --- ingest


def test_gsm8k_item_holds_question_reference_and_final_number(tmp_path):
    (item,) = ingest.ingest(settings(write_rows(tmp_path / "test.jsonl", gsm8k_rows(1)), "gsm8k"))
    assert item == {
        "id": "gsm8k-test-00001",
        "task": "gsm8k",
        "prompt": "Question: What is 0 + 1?\nAnswer:",
        "answer": "It is 0+1=<<0+1=1>>1.\n#### 1",
        "final": "1",
    }


def test_a_problem_of_math_holds_solution_and_final_answer(tmp_path):
    solved = {
        "problem": "What is $1/2 + 1/2$?",
        "solution": "It is $\\boxed{\\frac{2}{2}}$.",
        "answer": "1",
        "level": 2,
    }
    rows = [solved, {"question": "And $2 + 2$?", "answer": "4"}, {"problem": "And?", "solution": solved["solution"]}]
    file = write_rows(tmp_path / "test.jsonl", rows)
    first, second, third = ingest.ingest(settings(file, "math"))
    assert first == {
        "id": "math-test-00001",
        "task": "math",
        "prompt": "Problem: What is $1/2 + 1/2$?\n"
        "Reason step by step, and put the final answer in \\boxed{}.\nSolution:",
        "answer": "It is $\\boxed{\\frac{2}{2}}$.",
        "final": "1",
    }
    assert (second["answer"], second["final"], third["final"]) == ("\\boxed{4}", "4", "\\frac{2}{2}")
    assert all(items.is_correct(item, item["answer"]) for item in (first, second, third))
    assert not items.is_correct(first, second["answer"])


def test_limit_draws_without_replacement_in_file_order_and_by_seed(tmp_path):
    file = write_rows(tmp_path / "train.jsonl", gsm8k_rows(100))
    everything = ingest.ingest(settings(file, "gsm8k"))
    drawn = ingest.ingest(settings(file, "gsm8k", limit=20))
    ids = [item["id"] for item in drawn]
    assert len(everything) == 100
    assert ids == sorted(set(ids))
    assert len(ids) == 20
    assert all(item in everything for item in drawn)
    assert drawn == ingest.ingest(settings(file, "gsm8k", limit=20))
    assert drawn != ingest.ingest(settings(file, "gsm8k", limit=20, seed=2))
    assert ids != [item["id"] for item in everything[:20]]


def test_sets_of_one_draw_share_no_row_and_leave_none_out(tmp_path):
    file = write_rows(tmp_path / "train.jsonl", gsm8k_rows(30))
    parts = [
        ingest.ingest(settings(file, "gsm8k", limit, offset=offset))
        for offset, limit in ((0, 12), (12, 10), (22, None))
    ]
    ids = [item["id"] for part in parts for item in part]
    assert sorted(ids) == [item["id"] for item in ingest.ingest(settings(file, "gsm8k"))]
    assert [len(part) for part in parts] == [12, 10, 8]
    with pytest.raises(UserError, match="no row is left"):
        ingest.ingest(settings(file, "gsm8k", offset=30))


def test_folder_gives_limit_rows_of_each_file_in_the_order_of_names(tmp_path):
    for name in ("b", "a"):
        write_rows(tmp_path / f"{name}.jsonl", blimp_rows(name, 9))
    (tmp_path / "LICENSE").write_text("not data")
    paradigms = [item["paradigm"] for item in ingest.ingest(settings(tmp_path, "blimp", limit=4))]
    assert paradigms == ["a"] * 4 + ["b"] * 4


def test_position_of_the_good_sentence_says_nothing(tmp_path):
    pairs = ingest.ingest(settings(write_rows(tmp_path / "p.jsonl", blimp_rows("p", 1000)), "blimp"))
    assert all(item["choices"][item["label"]] == item["answer"] == f"Good p {n}." for n, item in enumerate(pairs))
    assert all(sorted(item["choices"])[0].startswith("Bad") for item in pairs)
    assert 430 < sum(item["label"] for item in pairs) < 570  # 4.4 standard deviations


@pytest.mark.parametrize(
    ("name", "question", "target", "choices"),
    [
        ("dates", "Which day?\nOptions:\n(A) 1/1 (or so)\n(B) 2/2", "(B)", ["(A)", "(B)"]),
        ("navigate", "Do you return?\nOptions:\n- Yes\n- No", "No", ["Yes", "No"]),
        ("sports_understanding", 'Is it plausible? "He ran."', "no", ["yes", "no"]),
        ("dyck_languages", "Close it. Input: [ (", ") ]", None),
        ("multistep_arithmetic_two", "((-1 + 2) - (3)) =", "-2", None),
    ],
)
def test_big_bench_hard_is_choice_or_generation(tmp_path, name, question, target, choices):
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps({"canary": "…", "examples": [{"input": question, "target": target}]}))
    (item,) = ingest.ingest(settings(file, "bbh"))
    assert (item["task"], item["answer"], item.get("choices")) == (f"bbh-{name}", target, choices)
    assert choices is None or choices[item["label"]] == target


def test_item_rows_pass_unchanged(tmp_path):
    rows = items.sample_items(random.Random(1), "eval", 10, {"cmp": 1.0}, [1, 1])
    assert ingest.ingest(settings(write_rows(tmp_path / "own.jsonl", rows), "jsonl")) == rows


@pytest.mark.parametrize(
    ("form", "line", "message"),
    [
        ("gsm8k", '{"question": "1 + 1?", "ans', "line 2"),
        ("gsm8k", '{"question": "1 + 1?"}', "line 2: no field 'answer'"),
        ("gsm8k", '{"question": "1 + 1?", "answer": "2"}', "line 2: the answer has no final number"),
        ("gsm8k", '{"question": null, "answer": "#### 2"}', "line 2: field 'question' is None"),
        ("gsm8k", "[1, 2]", "line 2"),
        ("blimp", '{"sentence_good": "A.", "UID": "x"}', "line 2: no field 'sentence_bad'"),
        ("math", '{"answer": "2"}', "line 2: no field 'question'"),
        ("math", '{"problem": "1 + 1?"}', "line 2: no field 'solution'"),
        ("math", '{"problem": "1 + 1?", "solution": "It is 2."}', "line 2: there is no field 'answer'"),
        ("math", '{"problem": "1 + 1?", "answer": 2}', "line 2: field 'answer' is 2"),
        ("jsonl", '{"id": "a", "task": "t", "prompt": "p"}', "line 2: no field 'answer'"),
        ("jsonl", '{"id": "a", "task": "gym-dice", "prompt": "p", "answer": "x"}', "line 2: no field 'game'"),
        (
            "jsonl",
            '{"id": "a", "task": "t", "prompt": "p", "answer": "x", "choices": ["x"], "label": 1}',
            "line 2: label 1",
        ),
        ("jsonl", '{"id": "a", "task": "t", "prompt": "p", "answer": "x", "choices": ["x"]}', "come together"),
        ("jsonl", '{"id": "one", "task": "t", "prompt": "p", "answer": "x"}', "one comes twice"),
    ],
)
def test_broken_row_is_named(tmp_path, form, line, message):
    good = {
        "gsm8k": gsm8k_rows(1)[0],
        "math": {"problem": "1 + 1?", "answer": "2"},
        "blimp": blimp_rows("x", 1)[0],
        "jsonl": {"id": "one", "task": "t", "prompt": "p", "answer": "a"},
    }[form]
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(good) + "\n" + line)
    with pytest.raises(UserError) as error:
        ingest.ingest(settings(file, form))
    assert message in str(error.value)
    assert "rows.jsonl" in str(error.value)


@pytest.mark.parametrize("text", ['{"examples": [{"input": "a", "tar', '{"rows": []}', "[]"])
def test_broken_big_bench_hard_file_is_named(tmp_path, text):
    (tmp_path / "navigate.json").write_text(text)
    with pytest.raises(UserError, match=r"navigate\.json"):
        ingest.ingest(settings(tmp_path, "bbh"))


def test_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        ingest.ingest(settings(tmp_path / "nowhere", "gsm8k"))


# --- fetch: pip and huggingface_hub for real, without a network


def run_stage(folder: Path, config: dict, *command: str, **environment: str) -> subprocess.CompletedProcess:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", *command]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def wheel(tmp_path) -> dict:
    """A wheel in a folder, as fetch's settings name it."""
    file = tmp_path / "wheels/tiny_data-1.0-py3-none-any.whl"
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
    return {"kind": "wheel", "package": "tiny-data==1.0", "sha256": sha256, "member": "tiny_data/numbers.bin"}


def fetch_wheel(tmp_path: Path, wheel: dict) -> subprocess.CompletedProcess:
    places = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    return run_stage(tmp_path, {"data": {"fetch": {"tiny": wheel}}}, "orchard.fetch", "tiny", **places)


def test_one_member_of_a_wheel_is_fetched(tmp_path, wheel):
    done = fetch_wheel(tmp_path, wheel)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "data/fetched/tiny").iterdir()
    assert (file.name, file.read_bytes()) == ("numbers.bin", b"1 2 3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "has SHA-256"),
        ({"package": "tiny-data==2.0"}, "tiny-data==2.0 cannot be fetched"),
        ({"member": "tiny_data/none.bin"}, "has no member"),
    ],
)
def test_a_wheel_that_is_not_what_the_config_says_is_refused(tmp_path, wheel, change, message):
    done = fetch_wheel(tmp_path, wheel | change)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data/fetched/tiny").exists()


def test_model_comes_from_the_hubs_cache_without_other_files(tmp_path):
    revision = "a" * 40
    snapshot = tmp_path / "home/hub/models--some--model/snapshots" / revision
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "README.md"):
        (snapshot / name).write_text(name)
    config = {"data": {"fetch": {"m": {"kind": "hub-model", "repo": "some/model", "revision": revision}}}}
    offline = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = run_stage(tmp_path, config, "orchard.fetch", "m", **offline)
    assert done.returncode == 0, done.stderr
    names = {file.name for file in (tmp_path / "data/fetched/m").iterdir()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors"}
    config["data"]["fetch"]["m"]["revision"] = "b" * 40
    done = run_stage(tmp_path, config, "orchard.fetch", "m", **offline)
    assert done.returncode == 1
    assert "some/model cannot be fetched" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_set_becomes_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    rows = gsm8k_rows(3)
    write_rows(tmp_path / "set/train.jsonl", rows)
    fetch.dataset_from_hub(
        {"repo": str(tmp_path / "set"), "config": None, "split": "train", "revision": None}, tmp_path
    )
    assert stage.read_jsonl(tmp_path / "rows.jsonl") == rows
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch.dataset_from_hub(
            {"repo": str(tmp_path / "set"), "config": None, "split": "none", "revision": None}, tmp_path
        )


# --- GGUF


def llama() -> LlamaForCausalLM:
    return random_llama(
        vocab_size=260,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        rms_norm_eps=1e-5,
        bos_token_id=257,
        eos_token_id=258,
        pad_token_id=258,
    )


def write_gguf(model: LlamaForCausalLM, file: Path) -> None:
    """The model as a GGUF file of float32 tensors, with a byte-level tokenizer of 256 bytes and four special tokens."""
    config = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*byte_letters(), "<unk>", "<bos>", "<eos>", "zz"])
    writer.add_token_types([1] * 256 + [3, 3, 3, 1])
    writer.add_token_merges(["z z"])
    writer.add_unk_token_id(256)
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}.get(name.split(".")[-2][0])
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # GGUF keeps rotary pairs side by side
            tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), numpy.ascontiguousarray(tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_letters() -> list[str]:
    """The letters that stand for bytes in GPT-2's vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + n) for n in range(len(hidden))]


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model(torch.arange(250)[:60].reshape(2, 30)).logits


def test_gguf_model_and_tokenizer_survive_loading_saving_and_loading(tmp_path):
    original = llama()
    write_gguf(original, tmp_path / "tiny.gguf")
    load.load({"kind": "gguf", "source": str(tmp_path), "model": {"layers": 3}}, tmp_path / "model")
    model, tokenizer = load.from_gguf(tmp_path / "tiny.gguf")
    torch.testing.assert_close(logits(model), logits(original), rtol=1e-5, atol=1e-5)
    saved = models.load_model(tmp_path / "model")
    assert saved.dtype == torch.float32
    assert torch.equal(logits(saved), logits(model))
    again = models.load_tokenizer(tmp_path / "model")
    for text in ("Jazz, pizzas!\n", "  12 + 3 =", "<bos>zzz<eos>", "Größe"):
        ids = tokenizer(text)["input_ids"]
        assert again(text)["input_ids"] == ids
        assert again.decode(ids) == tokenizer.decode(ids)
    assert again("zz", add_special_tokens=False)["input_ids"] == [259]
    assert (again.bos_token_id, again.eos_token_id) == (257, 258)
    assert str(tmp_path) not in "".join(file.read_text() for file in (tmp_path / "model").glob("*.json"))


def test_wrong_number_of_layers_in_the_config_is_refused(tmp_path):
    write_gguf(llama(), tmp_path / "tiny.gguf")
    with pytest.raises(UserError, match="has 3 layers, the config says 4"):
        load.load({"kind": "gguf", "source": str(tmp_path), "model": {"layers": 4}}, tmp_path / "model")


def test_a_broken_gguf_file_is_one_message(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF, but not whole")
    with pytest.raises(UserError, match=r"tiny\.gguf"):
        load.load({"kind": "gguf", "source": str(tmp_path), "model": {"layers": 3}}, tmp_path / "model")


# --- the study of a real model


def test_the_smollm2_studys_few_shot_examples_are_not_among_its_questions():
    generate = yaml.safe_load(STUDY.read_text())["data"]["generate"]
    drawn = {
        name: {
            item["prompt"]
            for item in items.sample_items(random.Random(s["seed"]), s["role"], s["items"], s["mix"], s["steps"])
        }
        for name, s in generate.items()
    }
    assert (len(drawn["arithmetic"]), len(drawn["arithmetic-shots"])) == (60, 3)
    assert not drawn["arithmetic"] & drawn["arithmetic-shots"]
