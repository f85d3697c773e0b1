"""The behaviour policy pi_beta and its offline data: responses with the exact log-prob of each token (PEAR, section 3).

    python -m orchard.stages.behave POLICY

A policy is a `model` (a checkpoint over the base's tokenizer) or `scripted`: a teacher who deals a style at random and
then writes the one response of that style, so that the log-probs are those of a mixture of known responses.

The output is a folder: rows.parquet (what SFT reads), statistics.json, and policy/ where the config keeps the policy.
"""

import json
import math
import random
import shutil
from pathlib import Path

import pandas

from orchard import paths
from orchard.errors import UserError
from orchard.models import folders, record, sampling
from orchard.processes import Progress
from orchard.stages import stage
from orchard.study.schema.behave import ModelPolicy, Policy, ScriptedPolicy
from orchard.tasks import registry


def main(name: str) -> None:
    policy = stage.params(Policy, "behave", name)
    folder, prompts = paths.model(policy.model), registry.read(policy.prompts)
    tokenizer, progress = folders.load_tokenizer(folder), Progress(f"behave@{name}", len(prompts))
    is_scripted = isinstance(policy, ScriptedPolicy)
    if is_scripted:
        rows = from_script(policy, prompts, tokenizer, progress)
    else:
        rows = from_model(policy, prompts, folders.load_model(folder), tokenizer, progress)
    kept = [row for row in rows if row["correct"] or not (is_scripted or policy.keep_correct_only)]
    refuse_nothing(kept, name)
    with stage.output(paths.behaviour(name)) as scratch:
        scratch.mkdir()
        pandas.DataFrame(kept).to_parquet(scratch / "rows.parquet", index=False)
        (scratch / "statistics.json").write_text(json.dumps(statistics(rows, kept), indent=2) + "\n")
        if not is_scripted and policy.keep_policy:
            shutil.copytree(folder, scratch / "policy", ignore=shutil.ignore_patterns(record.NOT_CONTENT))
        record.write(scratch, "behave", policy, [folder, Path(policy.prompts)], policy=name)


def from_script(policy: ScriptedPolicy, prompts: list[dict], tokenizer, progress: Progress) -> list[dict]:
    """Rows from a scripted teacher, who deals styles by their shares."""
    rng, shares, rows = random.Random(policy.seed), policy.styles, []
    for item in prompts:
        style, task = rng.choices(list(shares), list(shares.values()))[0], registry.load(item["task"])
        responses = {name: task.respond(item, name, foreign_words=policy.foreign_words) for name in shares}
        ids = {name: completion_ids(responses[name], tokenizer) for name in shares}
        top = top_of_mixture(style, ids, shares, policy.top_k)
        logps = mixture_logps(style, ids, shares)
        rows.append(row(item, responses[style], style, tokenizer, ids[style], logps, *top))
        progress.step()
    return rows


def completion_ids(response: str, tokenizer) -> list[int]:
    """The tokens of a response after its prompt, with EOS."""
    return tokenizer(f" {response}{tokenizer.eos_token}", add_special_tokens=False)["input_ids"]


def mixture_logps(style: str, ids: dict[str, list[int]], shares: dict[str, float]) -> list[float]:
    """Exact log-probs, in nats, of one style's tokens under the mixture of all styles' responses."""
    places = zip(ids[style], mixture_probs(style, ids, shares), strict=True)
    return [math.log(probs[token]) for token, probs in places]


def mixture_probs(style: str, ids: dict[str, list[int]], shares: dict[str, float]) -> list[dict[int, float]]:
    """The mixture's distribution over the next token at each place of one style's response.

    The probability of a token is the share of the styles that write it, among those that wrote the same until then.
    """
    found = []
    for place in range(len(ids[style])):
        alive = [name for name in shares if ids[name][:place] == ids[style][:place]]
        total, probs = sum(shares[name] for name in alive), {}
        for name in alive:
            token = ids[name][place]
            probs[token] = probs.get(token, 0.0) + shares[name] / total
        found.append(probs)
    return found


def top_of_mixture(style: str, ids: dict, shares: dict, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """The k most likely tokens at each place and their log-probs, filled up with token 0 of log-prob −inf."""
    top_ids, top_logps = [], []
    for probs in mixture_probs(style, ids, shares):
        best = sorted(probs, key=lambda token: (-probs[token], token))[:k]
        top_ids.append(best + [0] * (k - len(best)))
        top_logps.append([math.log(probs[token]) for token in best] + [-math.inf] * (k - len(best)))
    return top_ids, top_logps


def from_model(policy: ModelPolicy, prompts: list[dict], model, tokenizer, progress: Progress) -> list[dict]:
    """Rows sampled from a model at temperature 1, so that the log-probs are those of the policy itself."""
    texts = [item["prompt"] for item in prompts]
    responses = sampling.sample(model, tokenizer, texts, policy.sampling, progress, policy.top_k)
    return [
        row(item, response.text, "model", tokenizer, *response[1:])
        for item, response in zip(prompts, responses, strict=True)
    ]


def row(item: dict, response: str, style: str, tokenizer, ids, logps, top_ids, top_logps) -> dict:
    """One row of offline data. Tokens are stored as ids, so that no later step can tokenize the text differently."""
    return {
        "id": item["id"],
        "task": item["task"],
        "prompt": item["prompt"],
        "response": response,
        "style": style,
        "correct": registry.load(item["task"]).judge(item, response).right,
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


def refuse_nothing(rows: list[dict], name: str) -> None:
    """Raises a UserError for an empty data set."""
    if not rows:
        raise UserError(
            found=f"policy {name!r} gave no right response",
            rule="behaviour data has at least one row",
            why="SFT needs examples",
            fix="name a stronger policy, or set keep_correct_only: false",
        )


if __name__ == "__main__":
    stage.run(main)
