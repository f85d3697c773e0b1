"""XSum (arXiv 1808.08745): an article of the BBC, and what its first sentence says of it. Scored by ROUGE-L."""

from orchard.tasks import fields

INSTRUCTION = "Summarize the article above in one sentence."


class Row(fields.Row):
    """A row of its file."""

    document: fields.Text
    summary: fields.Text


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a row of its file, for a task of kind summary."""
    given = fields.read(Row, row)
    return {
        "id": f"xsum-{name}-{number:05d}",
        "task": "xsum",
        "prompt": f"Article: {given.document}\n\n{INSTRUCTION}\nSummary:",
        "answer": given.summary,
    }
