"""The behaviour policy pi_beta and its offline data: responses with the exact log-prob of each token (PEAR, section 3).

    python -m orchard.behave POLICY

A policy is a `model` (a checkpoint over the base's tokenizer) or `scripted`: a teacher who deals a style at random and
then writes the one response of that style, so that the log-probs are those of a mixture of known responses.
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
    rng, shares, rows = random.Random(settings["seed"]), settings["styles"], []
    for item in prompts:
        style = rng.choices(list(shares), list(shares.values()))[0]
        responses = {name: items.respond(item, name, foreign_words=settings["foreign_words"]) for name in shares}
        ids = {name: completion_ids(responses[name], tokenizer) for name in shares}
        logps = mixture_logps(style, ids, shares)
        rows.append(row(item, responses[style], style, tokenizer, ids[style], logps))
        progress.step()
    return rows


def completion_ids(response: str, tokenizer) -> list[int]:
    """The tokens of a response after its prompt, with EOS."""
    return tokenizer(f" {response}{tokenizer.eos_token}", add_special_tokens=False)["input_ids"]


def mixture_logps(style: str, ids: dict[str, list[int]], shares: dict[str, float]) -> list[float]:
    """Exact log-probs, in nats, of one style's tokens under the mixture of all styles' responses.

    The probability of a token is the share of the styles that write it, among those that wrote the same until then.
    """
    logps, alive = [], sum(shares.values())
    for length in range(1, len(ids[style]) + 1):
        agreeing = sum(shares[name] for name in shares if ids[name][:length] == ids[style][:length])
        logps.append(math.log(agreeing / alive))
        alive = agreeing
    return logps


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
        "correct": items.is_correct(item, response),
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
