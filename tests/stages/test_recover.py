"""Recovery: what it learns from (authors, mixtures, budgets), and that a killed run goes on to the same bytes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from orchard.errors import UserError
from orchard.models import chosen_on as chosen
from orchard.models import training
from orchard.stages import mix, recover, respond, stage
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.prune import __main__ as prune
from orchard.stages.search import __main__ as greedy
from orchard.tasks import items
from tests.helpers.llama import random_llama, save_base

TRAINER = {"batch_size": 4, "accumulation": 1, "gradient_checkpointing": False, "lora": None, "four_bit": False}
TRAINER |= {"learning_rate": 1.0e-3, "schedule": "constant", "warmup_steps": 0, "save_steps": 2}
BUDGETS = {
    "steps": {"kind": "equal-steps", "rows": None, "epochs": 2},
    "few": {"kind": "equal-steps", "rows": 5, "epochs": 1},
    "tokens": {"kind": "equal-tokens", "tokens": 300},
}
SAMPLING = {"seed": 1, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 4, "batch_size": 8}
STUDY = {
    "prune": {
        "calibration": {"items": "items.jsonl", "batch_size": 4},
        "selection": {
            "batch_size": 8,
            "racing": None,
            "tasks": {
                "answers": {
                    "kind": "likelihood",
                    "items": "items.jsonl",
                    "limit": None,
                    "few_shot": {"count": 0, "items": None},
                }
            },
        },
    },
    "recover": {
        "prompts": "items.jsonl",
        "open": {"kind": "style", "style": "D"},
        "self": {"kind": "model", "keep_correct_only": False, **SAMPLING},
        "right": {"kind": "model", "keep_correct_only": True, **SAMPLING},
        "mixed": {"kind": "mixed", "of": ["open", "self"], "seed": 1},
        "budgets": BUDGETS,
        "trainer": TRAINER,
    },
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A working folder with a model and a few items; stages run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "set_threads", lambda count: torch.set_num_threads(count))
    save_base(random_llama(), "results/models/base-random")
    rows = [items.make_item("calc", f"calc {n} + {n + 1} - {n} :", n, "calibration") for n in range(9)]
    stage.write_jsonl(tmp_path / "items.jsonl", rows)
    Path("config.yaml").write_text(yaml.safe_dump(STUDY))
    return tmp_path


def run(module, *arguments: str) -> None:
    """Runs a stage's main function with a command line."""
    before, sys.argv = sys.argv, ["stage", *arguments]
    try:
        module.main()
    finally:
        sys.argv = before


def prepare() -> None:
    """Prunes the model and writes its recovery data."""
    run(prune, "base-random", "block-influence", "1")
    for author in ("open", "self"):
        run(respond, "base-random", author)


def responses(author: str) -> list[dict]:
    return stage.read_jsonl(f"data/responses/base-random-{author}.jsonl")


# What there is to learn from


def test_prompts_are_a_file_or_all_sets_of_the_role_recovery(project):
    Path("data/recovery").mkdir(parents=True)
    rows = stage.read_jsonl("items.jsonl")
    stage.write_jsonl(Path("data/recovery/b.jsonl"), rows[:4])
    word = {"id": "gsm8k-a-1", "task": "gsm8k", "prompt": "Question: 1 + 1?\nAnswer:", "answer": "1 + 1 = 2\n#### 2"}
    plain = items.make_item("english-arithmetic", "4 + 3 =", 0, "recovery")
    stage.write_jsonl(Path("data/recovery/a.jsonl"), [word | {"final": "2"}, plain])
    study = yaml.safe_load(Path("config.yaml").read_text())
    study["recover"]["prompts"] = "data/recovery"
    Path("config.yaml").write_text(yaml.safe_dump(study))
    run(respond, "base-random", "open")
    written = responses("open")
    assert [row["id"] for row in written] == [word["id"], plain["id"], *(row["id"] for row in rows[:4])]
    assert [row["response"] for row in written[:2]] == [word["answer"], "7, since 4 + 3 makes 7."]
    assert items.is_correct(plain, written[1]["response"])


def test_a_mixture_takes_each_response_from_one_of_two(project):
    prepare()
    run(mix, "base-random", "mixed")
    parts = {author: {row["id"]: row for row in responses(author)} for author in ("open", "self")}
    mixed = responses("mixed")
    assert [row["id"] for row in mixed] == list(parts["open"])
    assert all(row in (parts["open"][row["id"]], parts["self"][row["id"]]) for row in mixed)
    assert mixed not in (list(parts["open"].values()), list(parts["self"].values()))


def test_a_mixture_keeps_prompts_that_one_author_lacks():
    first, second = ([{"id": n, "response": name} for n in ids] for name, ids in (("a", [1, 2]), ("b", [2, 3])))
    mixed = mix.mixed(first, second, seed=1)
    assert [row["id"] for row in mixed] == [1, 2, 3]
    assert (mixed[0]["response"], mixed[2]["response"]) == ("a", "b")


def test_only_right_responses_are_kept_where_the_config_says_so(project, monkeypatch):
    written = {row["prompt"]: "ans 3" for row in stage.read_jsonl("items.jsonl")}
    monkeypatch.setattr(respond, "from_model", lambda of, author, settings, prompts: list(written.values()))
    run(respond, "base-random", "right")
    assert [row["prompt"] for row in responses("right")] == ["calc 2 + 3 - 2 :"]
    run(respond, "base-random", "self")
    assert len(responses("self")) == 9
    monkeypatch.setattr(respond, "from_model", lambda *_: ["nonsense"] * 9)
    with pytest.raises(UserError, match="no response of base-random"):
        run(respond, "base-random", "right")


# Budgets


def test_equal_tokens_take_every_row_once_before_any_twice(project):
    prepare()
    rows, tokenizer = responses("open"), make_tokenizer()
    taken = recover.examples(rows, tokenizer, BUDGETS["tokens"], seed=1)
    longest = max(recover.answer_tokens([row]) for row in taken)
    assert 300 <= recover.answer_tokens(taken) < 300 + longest
    first = [json.dumps(row) for row in taken[: len(rows)]]
    assert sorted(first) == sorted(json.dumps(training.answer_example(row, tokenizer)) for row in rows)
    assert taken != recover.examples(rows, tokenizer, BUDGETS["tokens"], seed=2)


def test_equal_steps_take_the_first_rows(project):
    prepare()
    rows, tokenizer = responses("open"), make_tokenizer()
    whole = recover.examples(rows, tokenizer, BUDGETS["steps"], seed=1)
    assert whole == [training.answer_example(row, tokenizer) for row in rows]
    assert recover.examples(rows, tokenizer, BUDGETS["few"], seed=1) == whole[:5]


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_record_says_what_recovery_saw(budget, project):
    prepare()
    run(recover, "base-random", "block-influence", "1", "open", budget, "1")
    folder = Path(f"results/models/recover-base-random-block-influence-1-open-{budget}-1")
    record = json.loads((folder / "record.json").read_text())
    lengths = [sum(n != -100 for n in training.answer_example(row, make_tokenizer())["labels"])
               for row in responses("open")]  # fmt: skip
    if budget == "tokens":
        assert (record["rows"], record["equal"]) == (None, "tokens")
        assert record["tokens"] >= 300
    else:
        rows, epochs = {"steps": (9, 2), "few": (5, 1)}[budget]
        assert (record["rows"], record["tokens"], record["equal"]) == (rows, epochs * sum(lengths[:rows]), "steps")
    assert record["ratio"] == 0.25
    assert chosen.read(folder) == chosen.read(Path("results/models/prune-base-random-block-influence-1"))


def test_four_bits_without_a_gpu_are_refused(project):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    prepare()
    study = yaml.safe_load(Path("config.yaml").read_text())
    study["recover"]["trainer"] |= {"four_bit": True, "lora": {"rank": 2, "alpha": 4.0, "dropout": 0.0}}
    Path("config.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(UserError, match="without a GPU"):
        run(recover, "base-random", "block-influence", "1", "open", "steps", "1")


# What the choice of layers rests on


@pytest.mark.parametrize(
    ("method", "prompts"), [("block-influence", 9), ("greedy", 9), ("reverse", 0), ("random-1", 0)]
)
def test_a_pruned_model_tells_the_prompts_that_it_was_chosen_on(method, prompts, project):
    if method == "greedy":
        run(greedy, "base-random", "1", "0.5")
    run(prune, "base-random", method, "1")
    folder = Path(f"results/models/prune-base-random-{method}-1")
    rows = stage.read_jsonl("items.jsonl")
    assert chosen.overlap(folder, rows) == {"prompts": prompts, "shared": prompts}
    assert chosen.overlap(folder, [{"prompt": "calc 9 + 9 :"}]) == {"prompts": prompts, "shared": 0}
    assert chosen.overlap(Path("results/models/base-random"), rows) is None


def test_a_lower_ratio_drops_the_layers_that_the_search_dropped_first(project):
    run(greedy, "base-random", "1", "0.5")
    order = json.loads(Path("results/searches/base-random/record.json").read_text())["dropped"]
    for ratio, count in (("1", 1), ("0.5", 2)):
        run(prune, "base-random", "greedy", ratio)
        record = json.loads(Path(f"results/models/prune-base-random-greedy-{ratio}/record.json").read_text())
        assert (record["dropped"], record["ratio"]) == (sorted(order[:count]), count / 4)


def test_the_sweep_drops_one_layer(project):
    run(prune, "base-random", "skip", "2")
    record = json.loads(Path("results/models/prune-base-random-skip-2/record.json").read_text())
    assert (record["dropped"], record["ratio"]) == ([2], 0.25)


# Killed and started again


def test_a_killed_recovery_goes_on_to_the_same_bytes(project, monkeypatch):
    prepare()
    arguments = ["base-random", "block-influence", "1", "open", "tokens", "1"]
    run(recover, *arguments)
    folder = Path("results/models/recover-base-random-block-influence-1-open-tokens-1")
    kept = folder.rename("undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(training.ProgressCallback, "on_step_end", killed_after_three)
        with pytest.raises(KeyboardInterrupt):
            run(recover, *arguments)
    assert not folder.exists()
    assert training.last_checkpoint(Path(f".scratch/resume/{folder}")).endswith("checkpoint-2")
    run(recover, *arguments)
    assert stage.content_hash(folder) == stage.content_hash(kept)


def killed_after_three(self, args, state, control, **kwargs):
    if state.global_step == 3:
        raise KeyboardInterrupt


def test_a_search_killed_at_any_moment_goes_on_to_the_same_bytes(project):
    command = [sys.executable, "-m", "orchard.prune.greedy", "base-random", "2"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    state = project / ".scratch/resume/results/searches/base-random"
    subprocess.run(command, check=True, capture_output=True, env=environment)
    kept, kills = stage.content_hash(Path("results/searches/base-random")), 0
    shutil.rmtree("results/searches/base-random")
    for files in (1, 2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len([*state.rglob("*.json")]) < files:
            time.sleep(0.001)
        process.kill()
        kills += process.wait() < 0
    assert kills == 2
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert stage.content_hash(Path("results/searches/base-random")) == kept
