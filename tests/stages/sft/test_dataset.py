"""A policy's data, asked and ended as the model in training is."""

from pathlib import Path

import pandas
import pytest

from orchard.engines.engine import Response
from orchard.errors import UserError
from orchard.models import formats, prompts
from orchard.stages import behave
from orchard.stages.sft import dataset
from orchard.study.schema.format import Format
from tests.helpers.tokenizers import CHAT, TURN, spelling

QUESTION = {"id": "1", "task": "own", "prompt": "2 + 5 =", "answer": "7"}
TURNS = [("user", "Hello."), ("assistant", "Hello."), ("user", "2 + 5 =")]
CONVERSATION = {
    "id": "2",
    "task": "own",
    "messages": [{"role": role, "content": content} for role, content in TURNS],
    "answer": "7",
}


def tokenizer_of(**settings):
    """The tokenizer of a model that is asked by a chat template, or of one that is not."""
    tokenizer = spelling()
    tokenizer.chat_template = CHAT
    formats.put(tokenizer, Format(**settings))
    return tokenizer


def chat():
    return tokenizer_of(template="own")


def written(policy, folder: Path, items: list[dict], cut: int = 0) -> list[dict]:
    """The rows of a policy, as they come back from its file; the first ``cut`` are cut off."""
    rows = []
    for number, item in enumerate(items):
        ids = prompts.answer_ids(policy, prompts.asked(item), "It is 7.")
        ids = ids[:-1] if number < cut else ids
        response = Response("It is 7.", ids, [-0.5] * len(ids), *behave.no_top(ids), cut=number < cut)
        rows.append(behave.row(item, response, policy))
    pandas.DataFrame(rows).to_parquet(folder / "rows.parquet")
    return dataset.read_rows(folder / "rows.parquet", policy)


def ids_of(row: dict) -> list[list[int]]:
    return [list(row[key]) for key in ("prompt_ids", "completion_ids")]


def test_a_policys_end_becomes_that_of_the_model(tmp_path):
    policy, model = chat(), spelling()
    rows = written(policy, tmp_path, [QUESTION] * 3, cut=1)
    assert [policy.decode(row["completion_ids"]) for row in rows] == ["It is 7.", *[f"It is 7.{TURN}"] * 2]
    found, facts = dataset.in_format(rows, model, {model.eos_token_id}, "nll")
    assert facts == {"asked_anew": 3, "ends_mapped": 2}
    assert [model.decode(row["completion_ids"]) for row in found] == ["It is 7.", *["It is 7.<eos>"] * 2]
    for row, before in zip(found, rows, strict=True):
        assert row["prompt_ids"] == prompts.prompt_ids(model, QUESTION["prompt"])
        assert row["behavior_logps"] is before["behavior_logps"]
        assert list(row["completion_ids"])[:-1] == list(before["completion_ids"])[:-1]


@pytest.mark.parametrize("ends", [{TURN}, {TURN, "<eos>"}])
def test_an_end_at_which_the_model_stops_stays(ends, tmp_path):
    policy, model = chat(), spelling()
    rows = written(policy, tmp_path, [QUESTION])
    found, facts = dataset.in_format(rows, model, {model.convert_tokens_to_ids(end) for end in ends}, "nll")
    assert facts["ends_mapped"] == 0
    assert found[0]["completion_ids"] == list(rows[0]["completion_ids"])


@pytest.mark.parametrize("loss", ["nll", "kl-stored", "kl-live"])
def test_of_one_format_nothing_changes(loss, tmp_path):
    rows = written(chat(), tmp_path, [QUESTION, CONVERSATION])
    found, facts = dataset.in_format(rows, chat(), {chat().eos_token_id}, loss)
    assert facts == {"asked_anew": 0, "ends_mapped": 0}
    assert [ids_of(row) for row in found] == [ids_of(row) for row in rows]


def test_a_conversation_is_asked_in_the_models_own_words(tmp_path):
    policy, model = chat(), tokenizer_of(template="own", system="Be brief.")
    rows = written(policy, tmp_path, [QUESTION, CONVERSATION])
    found, facts = dataset.in_format(rows, model, {model.eos_token_id}, "nll")
    assert facts == {"asked_anew": 2, "ends_mapped": 0}
    for row, item in zip(found, (QUESTION, CONVERSATION), strict=True):
        assert row["prompt_ids"] == prompts.prompt_ids(model, prompts.asked(item))
        assert "Be brief." in model.decode(row["prompt_ids"])


def test_a_conversation_that_the_model_cannot_be_asked_is_refused(tmp_path):
    rows = written(chat(), tmp_path, [CONVERSATION])
    with pytest.raises(UserError, match="where there is no template"):
        dataset.in_format(rows, spelling(), {2}, "nll")


@pytest.mark.parametrize(
    ("loss", "model", "is_refused"),
    [
        ("kl-stored", spelling, True),  # another end
        ("kl-live", lambda: tokenizer_of(template="own", system="Be brief."), True),  # another prompt
        ("kl-stored", lambda: tokenizer_of(template="own", system="Be brief."), False),
        ("dft", spelling, False),
    ],
)
def test_distributions_of_another_format_are_not_learnt(loss, model, is_refused, tmp_path):
    rows, tokenizer = written(chat(), tmp_path, [QUESTION]), model()
    if is_refused:
        with pytest.raises(UserError, match=f"loss {loss} on a policy of another format"):
            dataset.in_format(rows, tokenizer, {tokenizer.eos_token_id}, loss)
    else:
        dataset.in_format(rows, tokenizer, {tokenizer.eos_token_id}, loss)
