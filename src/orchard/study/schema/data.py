"""The block ``data``: files from outside, files brought into orchard's form, and generated sets."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from orchard.study.schema.common import (
    Block,
    Count,
    Mistake,
    Name,
    Natural,
    Place,
    Rows,
    Run,
    Seed,
    Shares,
    Text,
    Unique,
    shaped,
)

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Package = Annotated[
    str,
    shaped(
        r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9][A-Za-z0-9.+!]*",
        "it is a package and its version, as name==1.0",
        "anything else could be an option of pip, which writes files and asks other servers",
    ),
]
Member = Annotated[
    Text,
    shaped(
        r"(?!/)(?!(?:.*/)?\.\.?(?:/|$))[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]",
        "it is a path from the wheel's root, without ..",
        "the file is written under its last part",
    ),
]
Repo = Annotated[
    Text,
    shaped(
        r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}",
        "it is owner/name, as the hub's address has it",
        "a path would name a folder of this machine, whose content would become a public data set",
    ),
]
Range = Annotated[list[Natural], Field(min_length=2, max_length=2)]
Role = Literal["eval", "calibration", "prompts", "recovery"]
Format = Literal[
    "gsm8k",
    "math",
    "bbh",
    "blimp",
    "humaneval",
    "humanevalplus",
    "mbpp",
    "mbppplus",
    "xsum",
    "arc",
    "dolci",
    "synthetic-2-sft",
    "synthetic-2-rl",
    "synlogic",
    "columns",
    "jsonl",
]


class Wheel(Block):
    """One file out of a wheel of the Python package index."""

    kind: Literal["wheel"] = Field(description="a file in a wheel")
    package: Package = Field(description="the package and its version: name==1.0")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="of the wheel")
    member: Member = Field(description="the file's path in the wheel")


class HubModel(Block):
    """A model of the Hugging Face hub, at a commit."""

    kind: Literal["hub-model"] = Field(description="a model of the hub")
    repo: Repo = Field(description="owner/name on the hub")
    revision: Commit = Field(description="the commit, whole")


class Bounds(Block):
    """Which numbers count."""

    at_least: float | None = Field(None, description="the least; null: no bound")
    at_most: float | None = Field(None, description="the largest; null: no bound")


Scalar = str | int | float | bool | None
Filter = dict[Text, Bounds | list[Scalar] | Scalar]


class HubDataset(Block):
    """One split of a data set of the Hugging Face hub, at a commit."""

    kind: Literal["hub-dataset"] = Field(description="a data set of the hub")
    repo: Repo = Field(description="owner/name on the hub")
    revision: Commit = Field(description="the commit, whole")
    config: Text | None = Field(None, description="the configuration; null: the data set has one only")
    split: Text = Field(description="train, test, ...")
    where: Filter = Field(default_factory=dict, description="which rows count, as in data.ingest")
    limit: Natural | None = Field(
        None, description="the first rows that count; no file is read behind the last of them. null: all"
    )


class NamedData(Block):
    """What one of lm-eval's own tasks loads from the hub, at commits: its data then lie in data/eval/<name>."""

    kind: Literal["lm-eval-data"] = Field(description="the data of a task of lm-eval")
    task: Text = Field(description="its name in lm-eval; a group is all its tasks")
    revisions: dict[Text, Commit] = Field(
        default_factory=dict,
        description="the commit, whole, of each data set that it loads; a run without them names those of today",
    )


class Columns(Block):
    """In which column of a row each part of an item stands: keys joined by dots, which lead into JSON text as well."""

    id: Text | None = Field(None, description="names the item; null: the file's name and the row's number")
    task: Text | None = Field(None, description="names what judges the item; null: `task` beside this map does")
    prompt: Text | None = Field(None, description="what is asked, as text")
    messages: Text | None = Field(
        None, description="what is asked, as turns {role, content}; an assistant's last turn is the response"
    )
    answer: Text | None = Field(None, description="the reference answer; null: the right choice, or none")
    final: Text | None = Field(None, description="the final answer, where the answer shows work before it")
    response: Text | None = Field(None, description="a worked answer to learn from")
    logps: Text | None = Field(
        None, description="the log-prob of each token of the response under its author, in nats, that of the end too"
    )
    choices: Text | None = Field(None, description="what can be chosen: a list of texts")
    label: Text | None = Field(None, description="the right choice: its place from 0, its letter, or its text")
    tests: Text | None = Field(None, description="of a program: its tests, a text or a list of texts")
    entry_point: Text | None = Field(None, description="of a program: its name; null: what the first test calls")

    def mistakes(self) -> Iterator[Mistake]:
        asked = [key for key in ("prompt", "messages") if getattr(self, key)]
        if len(asked) == 2 or not (asked or self.choices):
            found = " and ".join(asked) or "neither prompt nor messages"
            yield Mistake(
                f": {found}", "it maps prompt or messages", "an item asks one thing, in one way", "map one of them"
            )
        if (self.choices is None) != (self.label is None):
            yield Mistake(
                f": choices {self.choices!r}, label {self.label!r}",
                "choices and label come together",
                "one says what can be chosen, the other what is right",
                "map both, or neither",
            )


class Ingest(Block):
    """A benchmark's files that are brought into orchard's form."""

    role: Role = Field(description="what the set is for; it decides the folder")
    path: Place = Field(description="a file, or a folder of files")
    origin: Text | None = Field(None, description="where it can be had, for those who miss it")
    format: Format = Field(
        description="how rows become items; columns: by the map under this key; jsonl: they are items already"
    )
    columns: Columns | None = Field(None, description="of format columns: where each part of an item stands")
    task: Text | None = Field(None, description="of format columns: what judges all items; null: columns.task says it")
    where: Filter = Field(
        default_factory=dict,
        description="which rows count, by column: a value, a list of values, or {at_least, at_most}; null is absent",
    )
    leave_out: Annotated[list[Text], Unique] = Field(
        default_factory=list, description="ids of items that are left out, such as those whose own answer is wrong"
    )
    limit: Natural | None = Field(None, description="rows drawn per file; null: all that offset leaves")
    offset: Count = Field(0, description="rows of each file's draw that are left to other sets")
    seed: Seed = Field(0, description="of the draw")

    def mistakes(self) -> Iterator[Mistake]:
        why = "a map that is not read would silently do nothing"
        if (self.format == "columns") != (self.columns is not None):
            found = f": format {self.format}, columns {'null' if self.columns is None else 'a map'}"
            yield Mistake(found, "columns is there if and only if format is columns", why, "set both, or neither")
        elif self.columns is None and self.task is not None:
            found = f".task: {self.task!r}, of format {self.format}"
            yield Mistake(found, "only format columns has a task", why, "remove it")
        elif self.columns and (self.task is None) == (self.columns.task is None):
            found = f".task: {self.task!r}, columns.task: {self.columns.task!r}"
            yield Mistake(found, "one of them says the task", "the task judges the items", "set one, and only one")


def _steps_go_up(steps: list[int]) -> Iterator[Mistake]:
    low, high = steps
    if low > high:
        yield Mistake(
            f".steps: [{low}, {high}]",
            "steps is [low, high] with low at most high",
            "a number of steps is drawn between the two",
            f"write [{high}, {low}]",
        )


class PretrainSet(Block):
    """Generated text to pretrain on, with responses in several styles and a share of slips."""

    role: Literal["pretrain"] = Field(description="text to pretrain on")
    seed: Seed = Field(description="of the items")
    items: Rows = Field(description="number of items")
    mix: Shares = Field(description="share of each task")
    steps: Range = Field(description="[low, high] number of steps, operations or brackets")
    styles: Shares = Field(description="share of each style of response")
    noise: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="share of results that are a random digit")

    def mistakes(self) -> Iterator[Mistake]:
        yield from _steps_go_up(self.steps)


class PromptSet(Block):
    """Generated prompts with answers, and with worked responses where a style is named."""

    role: Role = Field(description="what the set is for; it decides the split of prompts and the folder")
    seed: Seed = Field(description="of the items")
    items: Rows = Field(description="number of items; fewer come where a task has no more different prompts")
    mix: Shares = Field(description="share of each task")
    steps: Range = Field(description="[low, high] number of steps, operations or brackets")
    style: Text | None = Field(
        None,
        description="of the worked responses that items come with (what layers are chosen on), and of the work that "
        "prompts of calc-step show; null: neither",
    )

    def mistakes(self) -> Iterator[Mistake]:
        yield from _steps_go_up(self.steps)


class GameSet(Block):
    """Questions of one game of reasoning-gym."""

    role: Role = Field(description="what the set is for; it decides the split of prompts and the folder")
    seed: Seed = Field(description="the game's own")
    items: Rows = Field(description="number of items")
    game: Text = Field(description="its name in reasoning-gym")
    options: dict[str, Any] = Field(default_factory=dict, description="those of the game, without seed and size")


def _game_or_mix(given: Any) -> str:
    """Which of the two a set of prompts is: the one with a game says so. (A tag must not equal any key.)"""
    is_game = "game" in given if isinstance(given, dict) else hasattr(given, "game")
    return "a game" if is_game else "a mix"


Prompts = Annotated[Annotated[GameSet, Tag("a game")] | Annotated[PromptSet, Tag("a mix")], Discriminator(_game_or_mix)]
Fetch = Annotated[Wheel | HubModel | HubDataset | NamedData, Field(discriminator="kind")]
Generate = Annotated[PretrainSet | Prompts, Field(discriminator="role")]


class FetchRun(Run):
    """One fetch.

    Attributes:
        folder: where its output lies.
    """

    folder: str


class Data(Block):
    """Where data comes from."""

    fetch: dict[Name, Fetch] = Field(default_factory=dict, description="what is brought here from outside, by name")
    ingest: dict[Name, Ingest] = Field(default_factory=dict, description="files that become sets of items, by name")
    generate: dict[Name, Generate] = Field(default_factory=dict, description="generated sets of items, by name")
