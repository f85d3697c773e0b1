"""The behaviour policy pi_beta and its offline data: responses with the exact log-prob of each token (PEAR, section 3).

    python -m orchard.behave POLICY

A policy is a `model` (a checkpoint over the base's tokenizer) or `scripted`: a teacher who deals a style at random and
then writes the response that the style fixes. Its log-prob is the log of the share of the styles that write it, on the
first token, and 0 after. (Each style begins with another token; where all styles write the same, it is 0.)
"""

import math
import random
import sys

from orchard import stage
from orchard.errors import UserError
from orchard.tasks import items


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("behave", name)
    stage.set_threads(1)
    import pandas  # late: the number of threads is set first

    from orchard import models

    prompts = stage.read_jsonl(settings["prompts"])
    policy_folder = f"results/models/{settings['model']}"
    tokenizer = models.load_tokenizer(policy_folder)
    respond = from_script if settings["kind"] == "scripted" else from_model
    rows = respond(settings, prompts, tokenizer, policy_folder, stage.Progress(f"behave@{name}", len(prompts)))
    check(rows, name)
    with stage.output(f"data/behave/{name}.parquet") as scratch:
        pandas.DataFrame(rows).to_parquet(scratch, index=False)


def from_script(settings: dict, prompts: list[dict], tokenizer, folder: str, progress) -> list[dict]:
    """Rows from a scripted teacher, who deals styles by their shares."""
    rng = random.Random(settings["seed"])
    rows = []
    for item in prompts:
        style = rng.choices(list(settings["styles"]), list(settings["styles"].values()))[0]
        responses = {
            name: items.respond(item, name, foreign_words=settings["foreign_words"]) for name in settings["styles"]
        }
        response = responses[style]
        share = sum(settings["styles"][name] for name in responses if responses[name] == response)
        ids = tokenizer(f" {response}{tokenizer.eos_token}", add_special_tokens=False)["input_ids"]
        logps = [math.log(share)] + [0.0] * (len(ids) - 1)
        rows.append(row(item, response, style, tokenizer, ids, logps))
        progress.step()
    return rows


def from_model(settings: dict, prompts: list[dict], tokenizer, folder: str, progress) -> list[dict]:
    """Rows sampled from a model at temperature 1, so that the log-probs are those of the policy itself."""
    from orchard import models, sampling

    texts = [item["prompt"] for item in prompts]
    sampled = sampling.sample(models.load_model(folder), tokenizer, texts, settings["sampling"], progress)
    rows = [
        row(item, response, "model", tokenizer, ids, logps)
        for item, (response, ids, logps) in zip(prompts, sampled, strict=True)
    ]
    return [row for row in rows if row["correct"]] if settings["keep_correct_only"] else rows


def row(item: dict, response: str, style: str, tokenizer, ids: list[int], logps: list[float]) -> dict:
    """One row of offline data. Tokens are stored as ids, so that no later step can cut the text differently."""
    return {
        "id": item["id"],
        "task": item["task"],
        "prompt": item["prompt"],
        "response": response,
        "style": style,
        "correct": items.is_correct(item["task"], item["prompt"], response),
        "prompt_ids": tokenizer(item["prompt"])["input_ids"],
        "completion_ids": ids,
        "behavior_logps": logps,
    }


def check(rows: list[dict], name: str) -> None:
    """Refuses an empty data set."""
    if not rows:
        raise UserError(
            f"policy {name!r} gave no right response",
            "behaviour data has at least one row",
            "SFT needs examples",
            "name a stronger policy, or set keep_correct_only: false",
        )


if __name__ == "__main__":
    stage.run(main)
