"""Recovery data: who writes it, what is kept of it, and mixtures of two authors."""

from pathlib import Path

import pytest

from orchard import jsonl, paths
from orchard.engines.engine import Response
from orchard.engines.static import Static
from orchard.errors import UserError
from orchard.models import folders, prompts
from orchard.models.seeds import seed_of
from orchard.stages import mix, recover, respond
from orchard.study.schema.recover import MixRun
from orchard.tasks import generated, registry
from tests.helpers import small_study as small
from tests.helpers.judging import judge
from tests.helpers.tokenizers import load, speller


def test_prompts_are_a_file_or_all_sets_of_the_role_recovery(small_study):
    Path("data/recovery").mkdir(parents=True)
    rows = jsonl.read(small.ITEMS)
    jsonl.write(Path("data/recovery/b.jsonl"), rows[:4])
    word = {"id": "gsm8k-a-1", "task": "gsm8k", "prompt": "Question: 1 + 1?\nAnswer:", "answer": "1 + 1 = 2\n#### 2"}
    plain = generated.make_item("english-arithmetic", "4 + 3 =", 0, "recovery")
    jsonl.write(Path("data/recovery/a.jsonl"), registry.stamped([word | {"final": "2"}, plain]))
    small.write(prompts="data/recovery")
    written = small.responses_of("open")
    assert [row["id"] for row in written] == [word["id"], plain["id"], *(row["id"] for row in rows[:4])]
    assert [row["response"] for row in written[:2]] == [word["answer"], "7, since 4 + 3 makes 7."]
    assert judge(plain, written[1]["response"]).right


def test_a_mixture_takes_each_response_from_one_of_two(small_study):
    parts = {author: {row["id"]: row for row in small.responses_of(author)} for author in ("open", "self")}
    name = f"{small.MODEL}-mixed"
    run = MixRun(of=small.MODEL, author="mixed", first=f"{small.MODEL}-open", second=f"{small.MODEL}-self")
    mix.main(name, run)
    mixed = jsonl.read(paths.responses(name))
    assert [row["id"] for row in mixed] == list(parts["open"])
    assert all(row in (parts["open"][row["id"]], parts["self"][row["id"]]) for row in mixed)
    assert mixed not in (list(parts["open"].values()), list(parts["self"].values()))


def test_a_mixture_keeps_prompts_that_one_author_lacks():
    first, second = ([{"id": n, "response": name} for n in ids] for name, ids in (("a", [1, 2]), ("b", [2, 3])))
    mixed = mix.mixed(first, second, seed=1)
    assert [row["id"] for row in mixed] == [1, 2, 3]
    assert (mixed[0]["response"], mixed[2]["response"]) == ("a", "b")


def answer(monkeypatch, text: str) -> None:
    """Lets the model give one answer to every prompt."""
    monkeypatch.setattr(
        respond, "from_model", lambda of, items, responses: [respond.row(item, text, cut=False) for item in items]
    )


def write_speller(**changes) -> None:
    """Lets the study's model be one over bytes, whose tokens no text gives back."""
    folders.save(*speller(**changes), paths.model(small.MODEL))


@pytest.fixture
def recovered_from(small_study, monkeypatch):
    """A function that gives the author's responses, and what recovery learns of them."""

    def learn(author: str) -> tuple[list[dict], list[dict]]:
        written, tokenizer = small.responses_of(author), folders.load_tokenizer(paths.model(small.MODEL))
        rows = recover.taken(written, tokenizer, small.AMOUNTS["steps"], seed=1)
        return written, [prompts.example(row, tokenizer) for row in rows]

    return learn


def test_recovery_learns_the_very_tokens_that_the_model_wrote(recovered_from):
    write_speller(ends=list(range(2, 40)))
    model, tokenizer = load(paths.model(small.MODEL))
    texts = [item["prompt"] for item in jsonl.read(small.ITEMS)]
    asked = small.ITSELF.model_copy(update={"seed": seed_of("responses", small.ITSELF.seed, None)})
    expected = list(Static(model, tokenizer).sample(texts, asked))
    written, learnt = recovered_from("self")
    assert [row["completion_ids"] for row in written] == [response.ids for response in expected]
    for text, response, row in zip(texts, expected, learnt, strict=True):
        assert row["input_ids"] == [*prompts.prompt_ids(tokenizer, text), *response.ids]
    assert {response.ids[-1] in range(2, 40) for response in expected} == {True, False}


def test_what_was_cut_off_is_marked_and_learnt_without_an_end_or_left_out(recovered_from):
    write_speller(ends=list(range(2, 40)))
    written, learnt = recovered_from("self")
    assert {row["cut"] for row in written} == {True, False}
    for row, example in zip(written, learnt, strict=True):
        assert row["cut"] == (example["input_ids"][-1] not in range(2, 40))
        assert len(row["completion_ids"]) == 4 or not row["cut"]
    facts = recover.amounts(written, folders.load_tokenizer(paths.model(small.MODEL)), small.AMOUNTS["steps"])
    assert facts["cut"] == sum(row["cut"] for row in written)
    whole, _ = recovered_from("whole")
    assert whole == [row for row in written if not row["cut"]]


def test_a_model_that_writes_nothing_is_refused(small_study, monkeypatch):
    empty = Response("", [2], [-0.1], [[]], [[]], cut=False)
    monkeypatch.setattr(Static, "sample", lambda self, questions, *_, **__: iter([empty] * len(questions)))
    with pytest.raises(UserError, match="ended each of its 9 responses at once"):
        small.responses_of("self")


def test_prompts_without_the_responses_that_were_promised_are_refused(small_study):
    with pytest.raises(UserError, match="comes without a response"):
        small.responses_of("given")


def test_only_right_responses_are_kept_where_the_config_says_so(small_study, monkeypatch):
    answer(monkeypatch, "ans 3")
    assert [row["prompt"] for row in small.responses_of("right")] == ["calc 2 + 3 - 2 :"]
    assert len(small.responses_of("self")) == 9
    answer(monkeypatch, "nonsense")
    with pytest.raises(UserError, match="none of 9 responses is left by keep_correct_only: true"):
        small.responses_of("right")
