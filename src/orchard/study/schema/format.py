"""The block ``format`` of a base: how its model is asked, and how its answers begin and end."""

from collections.abc import Iterator

from pydantic import Field

from orchard.study.schema.common import Block, Mistake, Place, Text

OWN = "own"  # the checkpoint's own chat template
MADE = ("data/", "results/")  # where stages write


class Format(Block):
    """How a model is asked and answers, the same in each stage and for each model that comes from the base."""

    template: Place | None = Field(
        None,
        description="the chat template that prompts are put into: own, the checkpoint's; or a file of the project; "
        "null: prompts are asked as they are",
    )
    system: Text | None = Field(
        None, description="what the system turn says where a conversation has none; null: what the template itself says"
    )
    thinking: bool | None = Field(
        None, description="given to the template as enable_thinking; null: not given; refused where it changes nothing"
    )
    begin: Text | None = Field(
        None, description="text behind the prompt that the model is given and goes on from, as <think>; null: none"
    )
    end: Text | None = Field(
        None,
        description="the token that ends an answer; null: the one that the template puts there, or without a template "
        "the tokenizer's EOS",
    )

    @property
    def is_file(self) -> bool:
        """Whether the template is a file of the project."""
        return self.template not in (None, OWN) and not self.template.startswith(MADE)

    def mistakes(self) -> Iterator[Mistake]:
        given = [key for key in ("system", "thinking", "begin") if getattr(self, key) is not None]
        if given and self.template is None:
            yield Mistake(
                f": {', '.join(given)} without a template",
                "a prompt without a template is the whole of what is asked",
                "there is no place for anything else in it",
                f"set template: {OWN}, or remove {' and '.join(given)}",
            )
        if self.template is not None and self.template.startswith(MADE):
            yield Mistake(
                f".template: {self.template!r}",
                "a template is a file of the project, outside data/ and results/",
                "stages write there, and what they write is known to DVC by other names",
                f"set template: {OWN} for the checkpoint's own, or put a copy of the file beside config.yaml",
            )
