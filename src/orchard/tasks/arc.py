"""The AI2 Reasoning Challenge (arXiv 1803.05457): science questions with three to five choices, as lm-eval asks."""

from orchard.tasks import fields


class Choices(fields.Row):
    """The choices of a question, and what each is called: by a letter or, in some rows, a digit."""

    text: list[fields.Text]
    label: list[fields.Name]


class Row(fields.Row):
    """A row of its file."""

    question: fields.Text
    choices: Choices
    answerKey: fields.Name  # noqa: N815  (the column's own name)


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a row of its file."""
    given = fields.read(Row, row)
    texts, labels = given.choices.text, given.choices.label
    if len(texts) != len(labels) or given.answerKey not in labels:
        raise ValueError(f"answerKey {given.answerKey!r} is none of the labels {labels} of {len(texts)} choices")
    right = texts[labels.index(given.answerKey)]
    return {
        "id": f"arc-{name}-{number:05d}",
        "task": "arc",
        "prompt": f"Question: {given.question}\nAnswer:",
        "answer": right,
    } | fields.with_choices(texts, right)
