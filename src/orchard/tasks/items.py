"""What an item is, field by field: the rows that stages judge, whoever wrote them.

Nothing of an item says how it is judged, but its task's name and its content. In particular none can ask to be run
outside the sandbox, and a question of a game is named, not told: the game itself makes it again when it scores.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from orchard.errors import shown
from orchard.tasks.conversations import Asked
from orchard.tasks.fields import MaybeEmpty, Name, Row, Text

NEEDED = {  # by a task of each kind of its items: fields that are there and not empty
    "choice": ("choices",),
    "minimal-pair": ("choices",),
    "likelihood": ("answer",),
    "generation": ("prompt", "answer"),
    "summary": ("prompt", "answer"),
}


class Item(Row):
    """A question with a reference answer.

    Attributes:
        id: names the item in its set.
        task: names what judges it.
        prompt: what is asked; empty where the choices are all (minimal pairs).
        messages: what is asked, instead of a prompt, as turns of a conversation that end with the user's.
        answer: the reference answer, perhaps with its work; empty where nothing is judged.
        choices: what can be chosen, two or more different texts.
        label: the place of the right choice.
        response: a worked answer to learn from.
        logps: the log-prob of each token of the response under its author, in nats, that of the end too.
        final: the final answer, where ``answer`` shows work before it.
        paradigm: what a minimal pair is about.
        task_code: the code that judges it, put there by the stage that made the set.
    """

    model_config = ConfigDict(extra="forbid")

    id: Name
    task: Name
    prompt: MaybeEmpty | None = None
    messages: Asked | None = None
    answer: MaybeEmpty
    choices: list[Text] | None = None
    label: int | None = None
    response: Text | None = None
    logps: list[Annotated[float, Field(le=0, allow_inf_nan=False)]] | None = None
    final: Text | None = None
    paradigm: Text | None = None
    task_code: Name | None = None

    @model_validator(mode="after")
    def _asks_once(self):
        if self.prompt is None and self.messages is None:
            raise ValueError("no field 'prompt', and none 'messages'")
        if self.prompt is not None and self.messages is not None:
            raise ValueError("`prompt` and `messages` exclude each other")
        return self

    @model_validator(mode="after")
    def _has_what_the_log_probs_are_of(self):
        if self.logps is not None and self.response is None:
            raise ValueError("`logps` are of a `response`, and there is none")
        return self

    @model_validator(mode="after")
    def _can_be_chosen(self):
        if (self.choices is None) != (self.label is None):
            raise ValueError("`choices` and `label` come together")
        if self.choices is None:
            return self
        if not 0 <= self.label < len(self.choices):
            raise ValueError(f"label {self.label} is not the index of one of {len(self.choices)} choices")
        if len(self.choices) < 2 or len(set(self.choices)) < len(self.choices):
            raise ValueError(f"choices {shown(self.choices)} are not two or more different ones")
        return self


class WithFinal(Item):
    """An item whose answer shows its work, so that it needs the final answer beside it."""

    final: Text


class ProgramItem(Item):
    """A programming problem.

    Attributes:
        entry_point: the name of the function that is asked for.
        test: the program that tests it.
        begun: whether the prompt is the beginning of the function.
    """

    entry_point: Text
    test: Text
    begun: bool

    @model_validator(mode="after")
    def _has_a_name(self):
        if not self.entry_point.isidentifier():
            raise ValueError(f"field 'entry_point' is {shown(self.entry_point)}, not the name of a function")
        if self.begun and self.messages is not None:
            raise ValueError("field 'begun' is true, while `messages` begin no function")
        return self


class PuzzleItem(Item):
    """A logic puzzle.

    Attributes:
        puzzle: what its task checks an answer against.
    """

    puzzle: dict[str, Any]


class Question(Row):
    """Which question of a game of reasoning-gym: the game's name and options, and the place in its questions.

    Attributes:
        name: of the game.
        options: of its configuration.
        seed: of its questions.
        size: how many there are.
        place: of this one, from 0.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name
    options: dict[str, Any]
    seed: int
    size: int
    place: int


class GameItem(Item):
    """A question of a game."""

    game: Question
