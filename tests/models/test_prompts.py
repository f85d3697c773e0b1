"""Prompts and answers as token ids, and where what a model wrote ends."""

import pytest

from orchard.errors import UserError
from orchard.models import folders, prompts
from orchard.stages.base.pretrain import make_tokenizer
from tests.helpers.llama import random_llama
from tests.helpers.tokenizers import TURN, load, save_as_it_is, speller, spelling

PIECES = ["bytes", "metaspace"]


def text_of(tokenizer, row: dict) -> str:
    return tokenizer.decode(row["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize(
    ("prompt", "answer", "text"),
    [
        ("2 + 5 =", "7", "2 + 5 = 7"),
        ("2 + 5 =", " 7", "2 + 5 = 7"),
        ("2 + 5 = ", "7", "2 + 5 = 7"),
        ("2 + 5 =", "\n7", "2 + 5 =\n7"),
        ("def f():\n", "    return 1\n", "def f():\n    return 1\n"),
        ("2 + 5 =", "7 <eos> 8", "2 + 5 = 7 "),
    ],
)
def test_an_answer_stands_behind_one_space_and_ends_once(pieces, prompt, answer, text):
    tokenizer = spelling(pieces)
    row = prompts.example({"prompt": prompt, "response": answer}, tokenizer)
    assert text_of(tokenizer, row) == text
    learnt = [token for token in row["labels"] if token != -100]
    assert row["input_ids"] == prompts.prompt_ids(tokenizer, prompt) + learnt
    assert (learnt[-1], learnt.count(tokenizer.eos_token_id)) == (tokenizer.eos_token_id, 1)


def test_own_tokens_are_learnt_as_they_were_written():
    tokenizer = spelling()
    ids = [*tokenizer("a  b")["input_ids"][1:], 200, 201]  # bytes that are no text
    row = prompts.example({"prompt": "a", "response": tokenizer.decode(ids), "completion_ids": ids}, tokenizer)
    assert row["input_ids"] == [*tokenizer("a")["input_ids"], *ids]
    assert row["labels"] == [-100, -100, *ids]


@pytest.mark.parametrize("ids", [[], [3, 10_000], [-1]])
def test_tokens_of_another_tokenizer_are_refused(ids):
    with pytest.raises(UserError, match="the tokens that it wrote"):
        prompts.completion_ids({"id": "a-1", "prompt": "a", "completion_ids": ids}, spelling())


# What a tokenizer adds by itself


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize(("front", "behind"), [("<bos>", "<eos>"), ("", "<eos>"), ("<bos>", ""), ("<bos>", TURN)])
def test_no_text_ends_by_itself(pieces, front, behind, tmp_path):
    model, tokenizer = speller(spelling(pieces, front, behind))
    bare = tokenizer("some text", add_special_tokens=False)["input_ids"]
    folder = save_as_it_is(model, tokenizer, tmp_path / "theirs")
    for _ in range(2):  # as it came, and as stages save it
        model, tokenizer = load(folder)
        ids = prompts.prompt_ids(tokenizer, "some text")
        assert ids == [*([tokenizer.bos_token_id] if front else []), *bare]
        assert tokenizer("some text")["input_ids"] == ids
        folder = tmp_path / "ours"
        folders.save(model, tokenizer, folder)


def test_an_end_that_the_tokenizers_config_asks_for_is_taken_off(tmp_path):
    model, tokenizer = speller()
    folder = save_as_it_is(model, tokenizer, tmp_path / "theirs")
    file = folder / "tokenizer_config.json"
    file.write_text(file.read_text().replace("{", '{"add_bos_token": true, "add_eos_token": true,', 1))
    for _ in range(2):
        model, tokenizer = load(folder)
        assert tokenizer("a")["input_ids"] == spelling()("a")["input_ids"]
        folders.save(model, tokenizer, folder)


def test_a_text_that_brings_its_own_bos_gets_no_second():
    tokenizer = spelling()
    assert prompts.prompt_ids(tokenizer, "<bos>a") == prompts.prompt_ids(tokenizer, "a")


# Scored pairs


@pytest.mark.parametrize("prompt", ["a b", "a b ", "a b\n"])
def test_a_pair_is_the_whole_text_cut_after_the_prompt(prompt):
    tokenizer = spelling()
    before, after = prompts.pair_ids(tokenizer, prompt, " c")
    assert before == tokenizer("a b")["input_ids"]
    assert tokenizer.decode(before + after, skip_special_tokens=True) == f"{prompt} c"


# Ends


def test_a_response_ends_at_the_first_of_all_ends():
    tokenizer = spelling()
    turn = tokenizer.convert_tokens_to_ids(TURN)
    ids = tokenizer("a b", add_special_tokens=False)["input_ids"]
    for end in (turn, tokenizer.eos_token_id):
        found = prompts.written([*ids, end, *ids, turn, 0, 0], {turn, tokenizer.eos_token_id}, tokenizer)
        assert found == prompts.Written("a b", ids, [end], ended=True)
    assert prompts.written(ids, {turn}, tokenizer) == prompts.Written("a b", ids, [], ended=False)


def test_ends_are_the_tokenizers_and_those_that_the_checkpoint_names():
    model, tokenizer = speller(ends=[3, 5])
    assert prompts.ends(model, tokenizer) == {2, 3, 5}
    model.generation_config.eos_token_id = 3
    assert prompts.ends(model, tokenizer) == {2, 3}
    model.generation_config.eos_token_id = None
    assert prompts.ends(model, tokenizer) == {2}


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [("one\n\ntwo", ["\n\n"], "one"), ("one two", ["two", "ne"], "o"), ("one", ["two"], None), ("one", ["one"], "")],
)
def test_a_stop_text_ends_a_response(text, stop, kept):
    tokenizer = spelling()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = prompts.written(ids, {2}, tokenizer, stop)
    if kept is None:
        assert found == prompts.Written(text, ids, [], ended=False)
    else:
        assert found == prompts.Written(kept, ids[: len(kept)], [], ended=True)


# Special tokens that a model lacks


def test_a_padding_token_beyond_the_embedding_is_refused(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    folder = save_as_it_is(random_llama(), tokenizer, tmp_path / "padded")
    with pytest.raises(UserError, match=r"pad_token '\[PAD\]', beyond the embedding"):
        folders.load_tokenizer(folder)


def test_a_tokenizer_without_an_end_is_refused(tmp_path):
    tokenizer = spelling(eos_token=None, pad_token=None)
    folder = save_as_it_is(random_llama(vocab_size=len(tokenizer)), tokenizer, tmp_path / "endless")
    with pytest.raises(UserError, match="names no EOS token"):
        folders.load_tokenizer(folder)
