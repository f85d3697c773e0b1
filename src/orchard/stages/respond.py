"""Recovery data: responses to the same prompts, by another author (open) or by the unpruned model itself (SGR).

    python -m orchard.stages.respond NAME --of MODEL --author AUTHOR

Self-generated responses are sampled from the unpruned model and, unless the config says so, not filtered (arXiv
2602.01997, section 4). They are kept as the tokens that the model wrote.
"""

from orchard import jsonl, paths
from orchard.engines.engine import Response
from orchard.errors import UserError, refuse_none
from orchard.models import sampling
from orchard.stages import sample, stage
from orchard.study.schema.recover import Author, GivenAuthor, ModelAuthor, RespondRun, StyleAuthor
from orchard.tasks import registry


def main(name: str, run: RespondRun) -> None:
    author = stage.params(Author, "recover", "responses", run.author)
    path = stage.params(str, "recover", "prompts")
    items, target = sample.items_of(path), paths.responses(name)
    with stage.output(target) as scratch:
        if isinstance(author, ModelAuthor):
            asked = author.shard(name, run.of, path).model_copy(update={"weights": run.weights})
            responses, _ = sample.responses(asked, author.shards, f"respond@{name}", target)
            rows = kept(from_model(run.of, items, responses), items, author, f"recover.responses.{run.author}")
        else:
            rows = from_author(author, items)
        jsonl.write(scratch, rows)


def row(item: dict, response: str, **facts) -> dict:
    """One row of recovery data."""
    question = {key: item[key] for key in ("prompt", "messages") if key in item}
    return {"id": item["id"], "task": item["task"], **question, "response": response, **facts}


def from_author(author: GivenAuthor | StyleAuthor, items: list[dict]) -> list[dict]:
    """The responses that come with the prompts, or right ones in one style.

    Raises:
        UserError: a prompt comes with no response.
    """
    if author.kind == "style":
        return [row(item, registry.load(item["task"]).respond(item, author.style)) for item in items]
    for item in items:
        if not item.get("response"):
            raise UserError(
                found=f"prompt {item['id']!r} comes without a response",
                rule="an author of kind given has answered every prompt",
                why="the responses of the data set are what is learnt",
                fix="add `response` to each row, or name an author of another kind",
            )
    return [row(item, item["response"]) for item in items]


def from_model(of: str, items: list[dict], responses: list[Response]) -> list[dict]:
    """Rows of what the unpruned model wrote, each with its tokens, and whether it was cut off.

    Raises:
        UserError: the model wrote nothing at all.
    """
    written = [(response.ids, response.cut) for response in responses]
    sampling.refuse_silence(written, of, "prune and recover another model")
    return [
        row(item, response.text, completion_ids=response.ids, cut=response.cut)
        for item, response in zip(items, responses, strict=True)
    ]


def kept(rows: list[dict], items: list[dict], author: ModelAuthor, key: str) -> list[dict]:
    """The rows that an author's settings leave.

    Args:
        rows: of each prompt.
        items: what was asked.
        author: the settings.
        key: of the author in the config, for the message.

    Raises:
        UserError: none is left.
    """
    found = [
        row
        for row, item in zip(rows, items, strict=True)
        if (author.keep_cut or not row["cut"])
        and not (author.keep_correct_only and not registry.load(item["task"]).judge(item, row["response"]).right)
    ]
    settings = f"keep_correct_only: {author.keep_correct_only}, keep_cut: {author.keep_cut}".lower()
    refuse_none(
        len(found),
        f"{key}: none of {len(rows)} responses is left by {settings}",
        "learn all of them (the paper's way), raise max_new_tokens, or take easier prompts",
    )
    return found


if __name__ == "__main__":
    stage.run(main, RespondRun)
