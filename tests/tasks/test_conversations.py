"""Conversations: which turns an item may hold, and how a data set's turns become them."""

import pytest

from orchard.tasks import content, conversations, registry
from tests.helpers.judging import judge

SYSTEM, USER, ASSISTANT = ({"role": role, "content": f"{role} speaks"} for role in ("system", "user", "assistant"))
PLAIN = {"id": "a", "task": "t", "answer": "5"}


@pytest.mark.parametrize("turns", [[USER], [SYSTEM, USER], [USER, ASSISTANT, USER], [SYSTEM, USER, ASSISTANT, USER]])
def test_an_item_may_ask_by_turns(turns):
    item = registry.item(PLAIN | {"messages": turns})
    assert item["messages"] == turns
    assert judge(item, "It is 5.").right
    assert not judge(item, "It is 6.").right
    assert conversations.of([*turns, ASSISTANT]) == {"messages": turns, "response": "assistant speaks"}
    assert conversations.of(turns) == {"messages": turns}


BAD = {
    "none": ([], "has turns of"),
    "a system alone": ([SYSTEM], "has turns of"),
    "two users": ([USER, USER], "has turns of"),
    "an assistant first": ([ASSISTANT, USER], "has turns of"),
    "a system later": ([USER, ASSISTANT, SYSTEM, USER], "has turns of"),
    "an assistant at the end": ([USER, ASSISTANT], "the field 'response'"),
    "a tool": ([USER, {"role": "tool", "content": "x"}], r"'messages\[1\].role' is 'tool', not 'system'"),
    "no content": ([{"role": "user"}], r"no field 'messages\[0\].content'"),
    "an empty turn": ([{"role": "user", "content": " "}], "not text"),
    "parts of content": ([{"role": "user", "content": [{"type": "text"}]}], "not text"),
    "another field": ([USER | {"name": "x"}], r"'messages\[0\].name' is none of a row's"),
    "a text": ("user: hi", "not a list"),
    "a text as a turn": (["hi"], "not an object"),
    "too many": ([USER, ASSISTANT] * 501 + [USER], "at most 1000"),
    "too long": (
        [USER | {"content": "x" * 600_000}, ASSISTANT, USER | {"content": "x" * 600_000}],
        "characters in all",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_other_turns_are_refused(name):
    turns, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        registry.item(PLAIN | {"messages": turns})


def test_prompt_and_messages_exclude_each_other():
    with pytest.raises(ValueError, match="exclude each other"):
        registry.item(PLAIN | {"messages": [USER], "prompt": "p"})
    with pytest.raises(ValueError, match="no field 'prompt', and none 'messages'"):
        registry.item(PLAIN)


def test_a_task_that_works_its_answer_out_needs_a_prompt():
    with pytest.raises(ValueError, match="task cmp needs `prompt`"):
        registry.item({"id": "a", "task": "cmp", "messages": [USER], "answer": "less"})
    program = {"task": "program", "entry_point": "f", "test": "f()", "begun": True, "answer": ""}
    with pytest.raises(ValueError, match="begin no function"):
        registry.item({"id": "a", "messages": [USER]} | program)


@pytest.mark.parametrize("key", conversations.TOOLS)
def test_a_conversation_that_calls_programs_is_refused(key):
    with pytest.raises(ValueError, match=f"a turn has '{key}'"):
        conversations.of([USER, ASSISTANT | {key: "f()"}])
    assert conversations.of([USER, ASSISTANT | {key: None, "weight": 1}])["response"] == "assistant speaks"


def test_a_question_is_the_same_as_prompt_and_as_turn():
    asked = "Question: What is 2 + 2?\nAnswer:"
    rows = [{"prompt": "what is 2 + 2?"}]
    assert content.shared(rows, [{"messages": [SYSTEM, {"role": "user", "content": asked}]}]) == rows
    assert not content.shared(rows, [{"messages": [USER, ASSISTANT, {"role": "user", "content": asked}]}])
