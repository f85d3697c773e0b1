"""The behaviour policy pi_beta and its offline data: responses with the exact log-prob of each token (PEAR, section 3).

    python -m orchard.behave POLICY

A policy is a `model` (a checkpoint over the base's tokenizer) or `scripted`: a teacher who deals a style at random and
then writes the one response of that style, so that the log-probs are those of a mixture of known responses.

The output is a folder: rows.parquet (what SFT reads), wrong.parquet (responses that the verifier refused, kept for
later work: no formula for learning from them is known), statistics.json, and policy/ where the config keeps the policy.
"""

import json
import math
import random
import shutil
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
    right, wrong = ([row for row in rows if row["correct"] is correct] for correct in (True, False))
    kept = right if settings["kind"] == "scripted" or settings["keep_correct_only"] else rows
    check(kept, name)
    with stage.output(f"data/behave/{name}") as scratch:
        scratch.mkdir()
        pandas.DataFrame(kept).to_parquet(scratch / "rows.parquet", index=False)
        pandas.DataFrame(wrong, columns=list(rows[0])).to_parquet(scratch / "wrong.parquet", index=False)
        (scratch / "statistics.json").write_text(json.dumps(statistics(rows, kept), indent=2) + "\n")
        if settings["kind"] == "model" and settings["keep_policy"]:
            shutil.copytree(policy_folder, scratch / "policy", ignore=shutil.ignore_patterns(".snakemake_timestamp"))
        stage.write_record(scratch, "behave", settings, [policy_folder, settings["prompts"]], policy=name)


def from_script(settings: dict, prompts: list[dict], tokenizer, folder: str, progress) -> list[dict]:
    """Rows from a scripted teacher, who deals styles by their shares."""
    rng, shares, rows = random.Random(settings["seed"]), settings["styles"], []
    for item in prompts:
        style = rng.choices(list(shares), list(shares.values()))[0]
        responses = {name: items.respond(item, name, foreign_words=settings["foreign_words"]) for name in shares}
        ids = {name: completion_ids(responses[name], tokenizer) for name in shares}
        top = top_of_mixture(style, ids, shares, settings["top_k"])
        logps = mixture_logps(style, ids, shares)
        rows.append(row(item, responses[style], style, tokenizer, ids[style], logps, *top))
        progress.step()
    return rows


def completion_ids(response: str, tokenizer) -> list[int]:
    """The tokens of a response after its prompt, with EOS."""
    return tokenizer(f" {response}{tokenizer.eos_token}", add_special_tokens=False)["input_ids"]


def mixture_logps(style: str, ids: dict[str, list[int]], shares: dict[str, float]) -> list[float]:
    """Exact log-probs, in nats, of one style's tokens under the mixture of all styles' responses."""
    return [
        math.log(chances[token]) for token, chances in zip(ids[style], mixture_chances(style, ids, shares), strict=True)
    ]


def mixture_chances(style: str, ids: dict[str, list[int]], shares: dict[str, float]) -> list[dict[int, float]]:
    """The mixture's distribution over the next token at each place of one style's response.

    The probability of a token is the share of the styles that write it, among those that wrote the same until then.
    """
    found = []
    for place in range(len(ids[style])):
        alive = [name for name in shares if ids[name][:place] == ids[style][:place]]
        total, chances = sum(shares[name] for name in alive), {}
        for name in alive:
            token = ids[name][place]
            chances[token] = chances.get(token, 0.0) + shares[name] / total
        found.append(chances)
    return found


def top_of_mixture(style: str, ids: dict, shares: dict, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """The k most likely tokens at each place and their log-probs, filled up with token 0 of log-prob −inf."""
    top_ids, top_logps = [], []
    for chances in mixture_chances(style, ids, shares):
        best = sorted(chances, key=lambda token: (-chances[token], token))[:k]
        top_ids.append(best + [0] * (k - len(best)))
        top_logps.append([math.log(chances[token]) for token in best] + [-math.inf] * (k - len(best)))
    return top_ids, top_logps


def from_model(settings: dict, prompts: list[dict], tokenizer, folder: str, progress) -> list[dict]:
    """Rows sampled from a model at temperature 1, so that the log-probs are those of the policy itself."""
    from orchard import models, sampling

    texts = [item["prompt"] for item in prompts]
    responses = sampling.sample(
        models.load_model(folder), tokenizer, texts, settings["sampling"], progress, settings["top_k"]
    )
    return [
        row(item, response.text, "model", tokenizer, *response[1:])
        for item, response in zip(prompts, responses, strict=True)
    ]


def row(item: dict, response: str, style: str, tokenizer, ids, logps, top_ids, top_logps) -> dict:
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
        "top_ids": top_ids,
        "top_logps": top_logps,
    }


def statistics(rows: list[dict], kept: list[dict]) -> dict:
    """What the data are like; lengths and the mean log-prob under pi_beta are in tokens, of the rows that are kept."""
    tokens = sum(len(row["completion_ids"]) for row in kept)
    styles = sorted({row["style"] for row in kept})
    return {
        "rows": len(rows),
        "kept": len(kept),
        "accuracy": sum(row["correct"] for row in rows) / len(rows),
        "mean_tokens": tokens / len(kept),
        "mean_log_prob_behavior": sum(sum(row["behavior_logps"]) for row in kept) / tokens,
        "styles": {style: sum(row["style"] == style for row in kept) / len(kept) for style in styles},
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
