"""Recovery data: responses to the same prompts, by another author (open) or by the unpruned model itself (SGR).

    python -m orchard.stages.respond NAME --of MODEL --author AUTHOR

Self-generated responses are sampled from the unpruned model and, unless the config says so, not filtered (arXiv
2602.01997, section 4).
"""

from pathlib import Path

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.models import folders, sampling
from orchard.processes import Progress
from orchard.stages import stage
from orchard.study.schema.recover import Author, GivenAuthor, ModelAuthor, RespondRun, StyleAuthor
from orchard.tasks import registry


def main(name: str, run: RespondRun) -> None:
    author = stage.params(Author, "recover", "responses", run.author)
    path = stage.params(str, "recover", "prompts")
    prompts = [item for file in files(Path(path)) for item in registry.read(file)]
    responses = from_model(name, run.of, author, prompts) if author.kind == "model" else from_author(author, prompts)
    rows = [
        {"id": item["id"], "task": item["task"], "prompt": item["prompt"], "response": response}
        for item, response in zip(prompts, responses, strict=True)
        if not is_filtered(author) or registry.load(item["task"]).judge(item, response).right
    ]
    if not rows:
        raise UserError(
            found=f"recover.responses.{run.author}: no response of {run.of} to {path} is right",
            rule="keep_correct_only leaves at least one",
            why="nothing can be learnt from none",
            fix="set keep_correct_only: false (the paper's way), or take easier prompts",
        )
    with stage.output(paths.responses(name)) as scratch:
        jsonl.write(scratch, rows)


def files(path: Path) -> list[Path]:
    """The sets of prompts: one file, or all of a folder."""
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path]


def is_filtered(author: Author) -> bool:
    """Whether responses that the verifier refuses are left out."""
    return isinstance(author, ModelAuthor) and author.keep_correct_only


def from_author(author: GivenAuthor | StyleAuthor, prompts: list[dict]) -> list[str]:
    """The responses that come with the prompts, or right ones in one style."""
    if author.kind == "given":
        return [item["response"] for item in prompts]
    return [registry.load(item["task"]).respond(item, author.style) for item in prompts]


def from_model(name: str, of: str, author: ModelAuthor, prompts: list[dict]) -> list[str]:
    """Responses sampled from the unpruned model."""
    model, tokenizer = folders.load_model(paths.model(of)), folders.load_tokenizer(paths.model(of))
    texts = [item["prompt"] for item in prompts]
    progress = Progress(f"respond@{name}", len(texts))
    return [response.text for response in sampling.sample(model, tokenizer, texts, author, progress)]


if __name__ == "__main__":
    stage.run(main, RespondRun)
