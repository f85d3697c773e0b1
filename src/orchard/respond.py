"""Recovery data: responses to the same prompts, by another author (open) or by the unpruned model itself (SGR).

    python -m orchard.respond MODEL AUTHOR

Self-generated responses are sampled from the unpruned model and, unless the config says so, not filtered (arXiv
2602.01997, section 4).
"""

import sys
from pathlib import Path

from orchard import stage
from orchard.errors import UserError
from orchard.tasks import items


def main() -> None:
    of, author = sys.argv[1:3]
    settings, path = stage.params("recover", author), stage.params("recover", "prompts")
    stage.set_threads(1)
    prompts = [item for file in files(Path(path)) for item in stage.read_jsonl(file)]
    responses = (
        from_model(of, author, settings, prompts) if settings["kind"] == "model" else from_author(settings, prompts)
    )
    rows = [
        {"id": item["id"], "task": item["task"], "prompt": item["prompt"], "response": response}
        for item, response in zip(prompts, responses, strict=True)
        if not settings.get("keep_correct_only") or items.is_correct(item, response)
    ]
    if not rows:
        raise UserError(
            f"recover.{author}: no response of {of} to {path} is right",
            "keep_correct_only leaves at least one",
            "nothing can be learnt from none",
            "set keep_correct_only: false (the paper's way), or take easier prompts",
        )
    with stage.output(f"data/responses/{of}-{author}.jsonl") as scratch:
        stage.write_jsonl(scratch, rows)


def files(path: Path) -> list[Path]:
    """The sets of prompts: one file, or all of a folder."""
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path]


def from_author(settings: dict, prompts: list[dict]) -> list[str]:
    """The responses that come with the prompts, or right ones in one style."""
    if settings["kind"] == "given":
        return [item["response"] for item in prompts]
    return [items.respond(item, settings["style"]) for item in prompts]


def from_model(of: str, author: str, settings: dict, prompts: list[dict]) -> list[str]:
    """Responses sampled from the unpruned model."""
    from orchard import models, sampling

    folder = f"results/models/{of}"
    texts = [item["prompt"] for item in prompts]
    progress = stage.Progress(f"respond@{of}-{author}", len(texts))
    return [
        response.text
        for response in sampling.sample(
            models.load_model(folder), models.load_tokenizer(folder), texts, settings, progress
        )
    ]


if __name__ == "__main__":
    stage.run(main)
