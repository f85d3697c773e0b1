"""Models of real families through the stages: prompts and answers are cut alike in all of them, and turns end."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from transformers import GenerationConfig

from orchard import jsonl, paths
from orchard.engines.static import Static
from orchard.models import folders, formats, prompts, record
from orchard.stages import behave, respond
from orchard.stages.base import __main__ as base
from orchard.stages.evaluate import harness
from orchard.stages.evaluate.lm import StrictLM
from orchard.stages.prune import __main__ as prune
from orchard.stages.rl import __main__ as rl
from orchard.stages.search import candidates
from orchard.stages.sft import __main__ as sft
from orchard.stages.sft import dataset
from orchard.study import runs
from orchard.study.schema.base import Depth, Loaded
from orchard.study.schema.behave import GivenPolicy
from orchard.study.schema.common import Sampling
from orchard.study.schema.evaluate import Evaluate, GenerationTask, ScoredTask
from orchard.study.schema.format import Format
from orchard.study.schema.prune import SelectionChoice, SelectionGeneration
from orchard.study.schema.rl import Recipe, RlRun
from orchard.study.schema.sft import Objective, SftRun, SftTrainer
from orchard.tasks import registry
from tests.helpers.families import tokenizer_of
from tests.helpers.studies import write_params
from tests.helpers.tiny import tiny
from tests.helpers.tokenizers import CHAT, TURN, spelling

OURS = "spelt"  # no family: a tokenizer of ours, which needs no network
QWEN = ["<|im_end|>", "<|endoftext|>"]
# Of each family the type of its models, and the tokens that its checkpoints name as ends.
FAMILIES = {
    OURS: ("llama", ["<eos>", TURN]),
    "qwen2.5": ("qwen2", QWEN),
    "qwen3": ("qwen3", QWEN),
    "llama3.1": ("llama", ["<|end_of_text|>", "<|eot_id|>"]),
    "mistral0.3": ("mistral", ["</s>"]),
    "gemma2": ("gemma2", ["<eos>", "<end_of_turn>"]),
    "gemma3": ("gemma3_text", ["<eos>", "<end_of_turn>"]),
}
THEIRS = {"do_sample": True, "temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05}
TURNS = [("user", "Hello."), ("assistant", "What can I do?"), ("user", "2 + 5?\nThink.")]
ITEMS = [
    {"id": "1", "task": "own", "prompt": "What is 1 + 1?", "answer": "It is 2."},
    {"id": "2", "task": "own", "prompt": "Say it.", "answer": "Well, yes\nand no."},
    {
        "id": "3",
        "task": "own",
        "messages": [{"role": role, "content": content} for role, content in TURNS],
        "answer": "7",
    },
]
ANSWERS = [item["answer"] for item in ITEMS]
NO_THOUGHTS = "<think>\n\n</think>\n\n"  # Qwen3's template has it in front of an answer, so it is learnt with it
ROOM = 24  # tokens: more than any answer has
RECIPE = Recipe(
    prompts="items.jsonl",
    seed=1,
    steps=1,
    prompts_per_step=3,
    samples_per_prompt=2,
    max_new_tokens=ROOM,
    temperature=0.01,
    learning_rate=1e-6,
)
GENERATION = GenerationTask(kind="generation", items="items.jsonl", max_new_tokens=ROOM)
REFERENCES = ScoredTask(kind="likelihood", items="items.jsonl")
SELECTION = {
    "written": SelectionGeneration(kind="generation", items="items.jsonl", max_new_tokens=ROOM),
    "scored": SelectionChoice(kind="likelihood", items="items.jsonl"),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory) -> str:
    """A family, and a working folder with a base of it that learnt to answer three questions."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        learn(name)
        yield name


def theirs(name: str):
    """The tokenizer of a family, as it comes."""
    if name != OURS:
        return tokenizer_of(name)
    tokenizer = spelling()
    tokenizer.chat_template = CHAT
    return tokenizer


def learn(name: str) -> None:
    """A checkpoint as its publisher has it goes through the stages base, behave and sft."""
    model_type, ends = FAMILIES[name]
    tokenizer = theirs(name)
    ids = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    ids["eos_token_id"] = tokenizer.convert_tokens_to_ids(ends)
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 256, "sliding_window": 64}
    model = tiny(model_type, **ids, **sizes)
    model.generation_config = GenerationConfig(**ids, **THEIRS)
    model.save_pretrained("theirs")
    tokenizer.save_pretrained("theirs")
    jsonl.write(Path("items.jsonl"), registry.stamped(ITEMS))
    loaded = Loaded(kind="local", source="theirs", license="mit", model=Depth(layers=4), format=Format(template="own"))
    write_params(
        {
            "runs.base.mine": runs.base({"mine": loaded})["mine"].model_dump(),
            "behave.given": GivenPolicy(kind="given", model="base-mine", prompts="items.jsonl").model_dump(),
            "sft.objectives.nll": Objective(loss="nll", learning_rate=3e-2).model_dump(),
            "sft.trainer": SftTrainer(batch_size=3, schedule="constant", epochs=30).model_dump(),
            "rl.recipes.static": RECIPE.model_dump(),
            "rl.recipes.continuous": RECIPE.model_copy(update={"rollouts": "continuous"}).model_dump(),
        }
    )
    base.main("mine")
    behave.main("given")
    sft.main("nll-1", SftRun(arm="nll", objective="nll", base="base-mine", data="given", seed=1, draw=0))


def loaded() -> tuple:
    """The model that learnt, and its tokenizer."""
    folder = paths.model("sft-nll-1")
    return folders.load_model(folder), folders.load_tokenizer(folder)


class Cut(NamedTuple):
    """An item's prompt and answer as tokens."""

    prompt: list[int]
    answer: list[int]


def by_transformers(name: str, item: dict) -> Cut:
    """As transformers cuts it, up to the token that ends the turn."""
    tokenizer, ends = theirs(name), FAMILIES[name][1]
    turns = item.get("messages") or [{"role": "user", "content": item["prompt"]}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    turns = [*turns, {"role": "assistant", "content": item["answer"]}]
    behind = tokenizer.apply_chat_template(turns, return_dict=False)[len(asked) :]
    first = min(behind.index(end) for end in tokenizer.convert_tokens_to_ids(ends) if end in behind)
    return Cut(asked, behind[: first + 1])


def test_all_stages_cut_a_prompt_and_its_answer_alike(family):
    model, tokenizer = loaded()
    expected = [by_transformers(family, item) for item in ITEMS]
    assert {cut.answer[-1] for cut in expected} == {tokenizer.eos_token_id}
    written = dataset.read_rows(paths.behaviour("given") / "rows.parquet", tokenizer)
    rows, _ = dataset.in_format(written, tokenizer, prompts.ends(model, tokenizer), "nll")
    assert [Cut(list(row["prompt_ids"]), list(row["completion_ids"])) for row in rows] == expected
    recovery = [prompts.example(respond.row(item, item["answer"]), tokenizer) for item in ITEMS]
    assert [row["input_ids"] for row in recovery] == [cut.prompt + cut.answer for cut in expected]
    read = [prune.text_of(item, tokenizer) for item in ITEMS]
    assert read == [cut.prompt + cut.answer[:-1] for cut in expected]
    found = candidates.load(SELECTION, tokenizer)
    assert found["written"].prompts == [cut.prompt for cut in expected]
    assert [pair for (pair,) in found["scored"].items] == [(cut.prompt, cut.answer[:-1]) for cut in expected]
    trainer = rl.make_trainer(RECIPE, 1, model, tokenizer, Path("state"), "rl@test")
    texts = list(trainer.train_dataset["prompt"])
    assert trainer._tokenize_prompts(texts)[0] == [cut.prompt for cut in expected]


def test_records_say_how_a_model_is_asked(family):
    facts, tokenizer = record.read(paths.model("base-mine")), loaded()[1]
    assert facts["format"] == record.read(paths.behaviour("given"))["format"] == formats.facts(tokenizer)
    assert facts["format"]["end"] == tokenizer.eos_token
    assert facts["reset_settings"] == THEIRS
    assert set(facts["ends"]) == {*FAMILIES[family][1], tokenizer.eos_token}
    assert facts["begins_with_bos"] == (tokenizer.bos_token is not None)


def evaluated(task, lm: StrictLM) -> list[dict]:
    asked = Evaluate(seed=1, batch_size=3, tasks={"own": task})
    return harness.run(lm, harness.task_manager(asked), task, asked)


def test_evaluation_asks_and_scores_the_same_tokens(family):
    lm = StrictLM(Static(*loaded()), 3)
    expected = [by_transformers(family, item) for item in ITEMS]
    asked = [row["arguments"][0][0] for row in evaluated(GENERATION, lm)]
    assert [lm.tok_encode(text) for text in asked] == [cut.prompt for cut in expected]
    pairs = [lm._encode_pair(*row["arguments"][0]) for row in evaluated(REFERENCES, lm)]
    assert pairs == [(cut.prompt, cut.answer[:-1]) for cut in expected]


def sampled(monkeypatch) -> list[str]:
    asked = Sampling(seed=1, temperature=0.0, max_new_tokens=ROOM, batch_size=3)
    found = list(Static(*loaded()).sample([prompts.asked(item) for item in ITEMS], asked))
    assert not any(response.cut for response in found)
    return [response.text for response in found]


def judged(monkeypatch) -> list[str]:
    found = [one for row in evaluated(GENERATION, StrictLM(Static(*loaded()), 3)) for one in row["written"]]
    assert all(one.ended for one in found)
    return [one.text for one in found]


def selected(monkeypatch) -> list[str]:
    model, tokenizer = loaded()
    return candidates.load(SELECTION, tokenizer)["written"].responses(model, [0, 1, 2])


def rolled_out(rollouts: str) -> Callable:
    def run(monkeypatch) -> list[str]:
        seen = {}

        def watch(completions: list[str], completion_ids: list[list[int]], item: list[str], **_) -> list[float]:
            seen.update(zip(item, completions, strict=True))
            end = folders.load_tokenizer(paths.model("sft-nll-1")).eos_token_id
            assert {ids[-1] for ids in completion_ids} == {end}
            return [float(number % 2) for number in range(len(completions))]

        monkeypatch.setattr(rl, "right_or_wrong", watch)
        rl.main(rollouts, RlRun(recipe=rollouts, arm="nll", seed=1, draw=0, start="sft-nll-1", prompts="items.jsonl"))
        return [seen[each] for each in sorted(seen)]

    return run


ENGINES = {
    "sampling": sampled,
    "evaluation": judged,
    "search": selected,
    "static rollouts": rolled_out("static"),
    "continuous rollouts": rolled_out("continuous"),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_that_learnt_to_end_its_turn_ends_it(engine, family, monkeypatch):
    written = ENGINES[engine](monkeypatch)
    front = NO_THOUGHTS if family == "qwen3" else ""
    assert written == [front + answer for answer in ANSWERS]
