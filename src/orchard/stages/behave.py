"""The behaviour policy pi_beta and its offline data: responses with the exact log-prob of each token (PEAR, section 3).

    python -m orchard.stages.behave POLICY

A policy is a `model` (a checkpoint over the base's tokenizer), `scripted`: a teacher who deals a style at random and
then chooses among its wordings word by word, so that the log-probs are those of a known mixture, or `given`: the
answers that come with the prompts, whose own policy nobody knows, with the log-probs of a named teacher.

The output is a folder: rows.parquet (what SFT reads), statistics.json, and policy/ where the config keeps the policy.
"""

import functools
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas

from orchard import paths
from orchard.engines.engine import Engine, Response
from orchard.engines.opening import opened
from orchard.errors import UserError, refuse_none
from orchard.models import folders, formats, loading, prompts, record, sampling, scripted
from orchard.models.prompts import Asked, Rendered, answer_ids, prompt_ids
from orchard.processes import Progress
from orchard.stages import sample, stage
from orchard.study.schema.behave import GivenPolicy, ModelPolicy, Policy, ScriptedPolicy
from orchard.tasks import registry
from orchard.tasks.generated_task import GeneratedTask

CERTAIN = 1e-6  # nats: a log-prob so near 0 is rounding


def main(name: str) -> None:
    policy, target = stage.params(Policy, "behave", name), paths.behaviour(name)
    folder, items = paths.model(policy.model), registry.read(policy.prompts)
    tokenizer = folders.load_tokenizer(folder)
    facts = {"policy": name, "format": formats.facts(tokenizer), "loading": loading.settings().model_dump()}
    with stage.output(target) as scratch:
        if isinstance(policy, ScriptedPolicy):
            rows = kept = from_script(policy, items, tokenizer, Progress(f"behave@{name}", len(items)))
        elif isinstance(policy, GivenPolicy) and policy.stored:
            rows = kept = from_stored(items, tokenizer)
        elif isinstance(policy, GivenPolicy):
            with opened(policy.engine, folder, f"behave@{name}") as engine:
                rows = kept = from_given(items, engine)
                facts["engine"] = engine.version
        else:
            responses, facts["engine"] = sample.responses(policy.shard(name), policy.shards, f"behave@{name}", target)
            rows = [row(*each, tokenizer) for each in zip(items, responses, strict=True)]
            kept = kept_rows(policy, rows, name)
        scratch.mkdir()
        pandas.DataFrame(kept).to_parquet(scratch / "rows.parquet", index=False)
        (scratch / "statistics.json").write_text(json.dumps(statistics(rows, kept), indent=2) + "\n")
        if isinstance(policy, ModelPolicy) and policy.keep_policy:
            shutil.copytree(folder, scratch / "policy", ignore=shutil.ignore_patterns(record.NOT_CONTENT))
        settings = policy.model_dump(exclude={"shards"})  # any number gives the same data, which this is a part of
        record.write(scratch, "behave", settings, [folder, Path(policy.prompts)], **facts)


def from_script(policy: ScriptedPolicy, items: list[dict], tokenizer, progress: Progress) -> list[dict]:
    """Rows from a scripted teacher, who deals styles by their shares.

    Raises:
        UserError: an item's task has no styles: its answer came from a file or a game, and its policy is unknown.
    """
    rng, shares, rows = random.Random(policy.seed), policy.styles, []
    options = {"foreign_words": policy.foreign_words}
    cut = functools.cache(lambda text: tuple(answer_ids(tokenizer, "a prompt :", text)[:-1]))
    for item in items:
        refuse_unknown_policy(item)
        style, task = rng.choices(list(shares), list(shares.values()))[0], registry.load(item["task"])
        said = {name: task.wordings(item, name, policy.variation, **options) for name in shares}
        response = " ".join(drawn(part, rng) for part in said[style])
        ids = answer_ids(tokenizer, prompts.asked(item), response)
        probs = scripted.course(ids, scripts_of(prompts.asked(item), said, shares, tokenizer, cut))
        logps = [math.log(at_place[token]) for token, at_place in zip(ids, probs, strict=True)]
        rows.append(row(item, Response(response, ids, logps, *top(probs, policy.top_k), cut=False), tokenizer, style))
        progress.step()
    return rows


def drawn(wordings: dict[str, float], rng: random.Random) -> str:
    """One of a part's wordings, by their probabilities."""
    return rng.choices(list(wordings), list(wordings.values()))[0]


def scripts_of(
    question: Asked, said: dict[str, list[dict[str, float]]], shares: dict[str, float], tokenizer, cut: Callable
) -> dict[str, scripted.Script]:
    """What the policy writes after a prompt in each style, as tokens.

    Args:
        question: what is asked.
        said: for each style the parts of the response, as texts.
        shares: of each style.
        tokenizer: the model's.
        cut: the tokens of a part's text within a response.

    Raises:
        UserError: the tokenizer does not cut the response where its parts end.
    """

    found = {}
    for style, parts in said.items():
        usual = " ".join(next(iter(part)) for part in parts)
        whole = tuple(answer_ids(tokenizer, question, usual))
        if (tokens := scripted.tokenized(parts, whole, cut)) is None:
            raise UserError(
                found=f"a response of style {style}, whose words the tokenizer does not cut apart",
                rule="a policy with variation chooses word by word",
                why="its log-probs are exact where each token is of one word",
                fix="set variation: 0, or name a model whose tokenizer cuts at spaces",
            )
        found[style] = scripted.Script(shares[style], tokens)
    return found


def refuse_unknown_policy(item: dict) -> None:
    """Raises a UserError for an item whose answer is given: every style would write it, with log-probs of 0."""
    if not isinstance(registry.load(item["task"]), GeneratedTask):
        raise UserError(
            found=f"item {item['id']!r} of task {item['task']!r}, whose answer is given, for a policy of kind scripted",
            rule="a scripted policy writes the responses itself, so that their log-probs are known",
            why="log pi_beta would be 0 for every token, and PEAR's weights would follow the place of a token alone",
            fix="set kind: given, and name as model the teacher whose log-probs the answers get",
        )


def from_given(items: list[dict], teacher: Engine) -> list[dict]:
    """Rows of the answers that come with the items, with a teacher's log-probs.

    Raises:
        UserError: an item comes without an answer.
    """
    tokenizer, answers = teacher.tokenizer, [given_answer(item) for item in items]
    pairs = [
        (prompt_ids(tokenizer, prompts.asked(item)), answer_ids(tokenizer, prompts.asked(item), answer))
        for item, answer in zip(items, answers, strict=True)
    ]
    found = [one.logps for one in teacher.score(pairs)]
    return [
        row(item, Response(answer, ids, logps, *no_top(logps), cut=False), tokenizer, "given")
        for item, answer, (_, ids), logps in zip(items, answers, pairs, found, strict=True)
    ]


def from_stored(items: list[dict], tokenizer) -> list[dict]:
    """Rows of the responses that come with the items, with the log-probs that their author stored.

    Raises:
        UserError: an item comes without log-probs, or with other than one for each token.
    """
    return [
        row(item, Response(item["response"], ids, logps, *no_top(logps), cut=False), tokenizer, "given")
        for item in items
        for ids, logps in [stored_log_probs(item, tokenizer)]
    ]


def stored_log_probs(item: dict, tokenizer) -> tuple[list[int], list[float]]:
    """The tokens of an item's response, as they are learnt, and the log-prob of each."""
    logps = item.get("logps") or []
    ids = answer_ids(tokenizer, prompts.asked(item), item["response"]) if logps else []
    if not logps or len(logps) != len(ids):
        raise UserError(
            found=f"item {item['id']!r} has {len(logps)} stored log-probs, and its response {len(ids)} tokens"
            if logps
            else f"item {item['id']!r} has no stored log-probs",
            rule="with stored: true each token of a response has one, and so has the token that ends it",
            why="PEAR weighs token by token; log-probs of other tokens would weigh the wrong ones",
            fix="name as model one with the author's tokenizer, or set stored: false, so that the model scores them",
        )
    return ids, logps


def given_answer(item: dict) -> str:
    """The response that comes with an item, or else its answer."""
    if not (answer := item.get("response") or item["answer"]).strip():
        raise UserError(
            found=f"item {item['id']!r} has neither a response nor an answer",
            rule="a policy of kind given has answered every prompt",
            why="of an empty answer nothing would be learnt but to end at once",
            fix="add `response` or `answer` to each row, or name a policy of kind model, which writes them",
        )
    return answer


def no_top(logps: list[float]) -> tuple[list[list[int]], list[list[float]]]:
    """No most likely tokens at each place."""
    return [[] for _ in logps], [[] for _ in logps]


def top(course: list[dict[int, float]], k: int) -> tuple[list[list[int]], list[list[float]]]:
    """The k most likely tokens at each place and their log-probs, filled up with token 0 of log-prob −inf."""
    top_ids, top_logps = [], []
    for probs in course:
        best = sorted(probs, key=lambda token: (-probs[token], token))[:k]
        top_ids.append(best + [0] * (k - len(best)))
        top_logps.append([math.log(probs[token]) for token in best] + [-math.inf] * (k - len(best)))
    return top_ids, top_logps


def row(item: dict, response: Response, tokenizer, style: str = "model") -> dict:
    """One row of offline data. Tokens are stored as ids, so that no later step can tokenize the text differently.

    By a chat template it has the conversation as JSON too, and the text that the policy went on from.
    """
    question = prompts.asked(item)
    text = prompts.start(tokenizer, question)
    by_template = {"messages": json.dumps(item.get("messages")), "read": str(text)}
    return {
        "id": item["id"],
        "task": item["task"],
        "prompt": question if isinstance(question, str) else question[-1]["content"],
        **(by_template if isinstance(text, Rendered) else {}),
        "response": response.text,
        "style": style,
        "correct": registry.load(item["task"]).judge(item, response.text, ended=not response.cut).right,
        "cut": response.cut,
        "prompt_ids": prompts.text_ids(tokenizer, text),
        "completion_ids": response.ids,
        "behavior_logps": response.logps,
        "top_ids": response.top_ids,
        "top_logps": response.top_logps,
    }


def kept_rows(policy: ModelPolicy, rows: list[dict], name: str) -> list[dict]:
    """The rows that a model's policy leaves.

    Raises:
        UserError: the model wrote nothing at all, or no row is left.
    """
    written = [(row["completion_ids"], row["cut"]) for row in rows]
    sampling.refuse_silence(written, f"policy {name!r}", "name another model")
    kept = [row for row in rows if row["correct"] or not policy.keep_correct_only]
    refuse_none(
        len(kept),
        f"policy {name!r} gave no right response",
        "name a stronger policy, or set keep_correct_only: false",
    )
    whole = [row for row in kept if policy.sampling.keep_cut or not row["cut"]]
    fix = "raise max_new_tokens, or set keep_cut: true"
    refuse_none(len(whole), f"policy {name!r}: max_new_tokens cut off every response", fix)
    return whole


def statistics(rows: list[dict], kept: list[dict]) -> dict:
    """What the data are like; lengths and the mean log-prob under pi_beta are in tokens, of the rows that are kept."""
    tokens = sum(len(row["completion_ids"]) for row in kept)
    styles = sorted({row["style"] for row in kept})
    return {
        "rows": len(rows),
        "kept": len(kept),
        "cut": sum(row["cut"] for row in kept),
        "accuracy": sum(row["correct"] for row in rows) / len(rows),
        "mean_tokens": tokens / len(kept),
        "mean_log_prob_behavior": sum(sum(row["behavior_logps"]) for row in kept) / tokens,
        # Of the tokens, those that the policy might not have written: only there is PEAR's ratio more than pi_theta.
        "share_with_a_choice": sum(logp < -CERTAIN for row in kept for logp in row["behavior_logps"]) / tokens,
        "styles": {style: sum(row["style"] == style for row in kept) / len(kept) for style in styles},
    }


if __name__ == "__main__":
    stage.run(main)
