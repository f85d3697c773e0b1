"""Conversations: turns of a system, a user and an assistant, as chat data sets have them.

A system may speak first, once; then user and assistant take turns. What is asked ends with the user. An assistant's
turn behind it is a response to learn from.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from orchard.errors import shown
from orchard.tasks import fields
from orchard.tasks.fields import LONGEST, Row, Text

MOST = 1000  # turns: ours, because no model reads so many
TOOLS = ("functions", "function_calls", "tool_calls", "tools", "tool_call_id")  # of turns that call programs


class Message(Row):
    """One turn."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Text


def _in_turns(messages: list[Message]) -> list[Message]:
    roles = [message.role for message in messages]
    spoken = roles[roles[:1] == ["system"] :]
    if not spoken or spoken != (["user", "assistant"] * len(spoken))[: len(spoken)]:
        raise ValueError(f"has turns of {shown(roles)}: a system at most first, then user and assistant in turns")
    if sum(len(message.content) for message in messages) > LONGEST:
        raise ValueError(f"has more than {LONGEST:,} characters in all")
    return messages


def _asked(messages: list[Message]) -> list[Message]:
    if messages[-1].role != "user":
        raise ValueError("ends with the assistant's turn, which is the field 'response'")
    return messages


Turns = Annotated[list[Message], Field(max_length=MOST), AfterValidator(_in_turns)]
Asked = Annotated[Turns, AfterValidator(_asked)]


class Conversation(Row):
    """A conversation, with or without its end."""

    messages: Turns


def of(turns: Any) -> dict:
    """The fields of an item of a conversation: ``messages`` up to the user's last turn, ``response`` if one follows.

    Args:
        turns: a list of objects with role and content; other fields say nothing of the text.

    Raises:
        ValueError: it is no conversation, or calls programs.
    """
    plain = [_plain(turn) for turn in turns] if isinstance(turns, list) else turns
    messages = fields.read(Conversation, {"messages": plain}).messages
    found = [message.model_dump() for message in messages]
    if found[-1]["role"] == "assistant":
        return {"messages": found[:-1], "response": found[-1]["content"]}
    return {"messages": found}


def _plain(turn: Any) -> Any:
    """Role and content of a turn.

    Raises:
        ValueError: it calls programs, of which the text alone would be another conversation.
    """
    if not isinstance(turn, dict):
        return turn
    if calls := [key for key in TOOLS if turn.get(key)]:
        raise ValueError(f"a turn has {calls[0]!r}: conversations that call programs cannot be said; leave them out")
    return {key: turn[key] for key in ("role", "content") if key in turn}


def text_of(messages: list[dict]) -> str:
    """What is asked in a conversation, as one text: all turns but a system's."""
    return "\n".join(message["content"] for message in messages if message["role"] != "system")
