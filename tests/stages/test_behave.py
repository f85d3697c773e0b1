"""A policy's log-probs are those of what was sampled from: a mixture of styles, or a model; what its data hold."""

import json
import math
import random
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pandas
import pytest
import torch

from orchard import jsonl, paths
from orchard.engines.engine import Response
from orchard.engines.static import Static
from orchard.errors import UserError
from orchard.models import folders, prompts
from orchard.stages import behave
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft import dataset
from orchard.study.schema.behave import GivenPolicy, ModelPolicy, ScriptedPolicy
from orchard.study.schema.common import Sampling
from orchard.tasks import generated, registry
from tests.helpers.llama import random_llama
from tests.helpers.objectives import TEACHER, Silent, teacher_rows
from tests.helpers.references import logps_of_row
from tests.helpers.studies import WHOLE, write_params
from tests.helpers.tokenizers import spelling

POLICY = TEACHER.model_copy(update={"styles": {"A": 0.4, "C": 0.3, "D": 0.2, "H": 0.1}, "foreign_words": 6})


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    items = generated.sample_items(random.Random(1), "prompts", 3000, {"calc": 0.9, "fact": 0.1}, [1, 4])
    return behave.from_script(POLICY, items, make_tokenizer(), Silent())


def test_a_sequence_has_the_share_of_the_styles_that_write_it(rows):
    for row in rows:
        item = {"task": row["task"], "prompt": row["prompt"], "answer": row["response"]}
        task = registry.load(row["task"])
        writers = [style for style in POLICY.styles if task.respond(item, style) == row["response"]]
        assert math.isclose(math.exp(sum(row["behavior_logps"])), sum(POLICY.styles[style] for style in writers))


def test_one_log_prob_a_token_none_positive(rows):
    for row in rows:
        assert len(row["completion_ids"]) == len(row["behavior_logps"])
        assert max(row["behavior_logps"]) <= 1e-12
        assert row["correct"]


def test_styles_come_in_their_shares(rows):
    counts = Counter(row["style"] for row in rows)
    for style, share in POLICY.styles.items():
        assert abs(counts[style] / len(rows) - share) < 4 * math.sqrt(share * (1 - share) / len(rows))


def test_the_top_tokens_are_the_whole_mixture_when_it_has_no_more():
    for row in teacher_rows(200, styles=POLICY.styles, top_k=4):
        for token, logp, ids, logps in zip(
            row["completion_ids"], row["behavior_logps"], row["top_ids"], row["top_logps"], strict=True
        ):
            probs = {each: math.exp(value) for each, value in zip(ids, logps, strict=True) if value > -math.inf}
            assert len(probs) == sum(value > -math.inf for value in logps)
            assert math.isclose(sum(probs.values()), 1.0)
            assert math.isclose(probs[token], math.exp(logp))
            assert logps == sorted(logps, reverse=True)


def test_fewer_top_tokens_are_the_most_likely_ones():
    course = [{1: 0.4, 3: 0.6}, {2: 0.35 / 0.6, 4: 0.25 / 0.6}]
    top_ids, top_logps = behave.top(course, 1)
    assert top_ids == [[3], [2]]
    assert top_logps == [[pytest.approx(math.log(0.6))], [pytest.approx(math.log(0.35 / 0.6))]]
    assert behave.top(course, 0) == ([[], []], [[], []])


def test_a_policy_with_variation_chooses_its_words_and_knows_how_likely_they_were():
    """Of one style, so that the style is no choice: each word's log-prob is that of its wording."""
    policy = POLICY.model_copy(update={"styles": {"D": 1.0}, "variation": 0.25, "top_k": 2})
    items = generated.sample_items(random.Random(2), "prompts", 200, {"calc": 1.0}, [1, 4])
    said, tokenizer = Counter(), make_tokenizer()
    for row in behave.from_script(policy, items, tokenizer, Silent()):
        assert row["correct"]
        for token, logp in zip(row["completion_ids"], row["behavior_logps"], strict=True):
            word = tokenizer.decode([token])
            said[word] += 1
            rare, usual = word in "from + - *".split(), word in "take add sub mul".split()
            assert logp == pytest.approx(math.log(0.25) if rare else math.log(0.75) if usual else 0.0)
    assert 0.2 < said["from"] / (said["from"] + said["take"]) < 0.3


def test_the_default_studys_policy_has_a_choice_at_a_quarter_of_its_tokens_at_least():
    """So PEAR's ratio is one of two policies there, and no likelihood under one of them."""
    policy = ScriptedPolicy.model_validate(WHOLE["behave"]["teacher"])
    asked = WHOLE["data"]["generate"]["sft"]
    items = generated.sample_items(random.Random(12), "prompts", 100, asked["mix"], asked["steps"])
    rows = behave.from_script(policy, items, make_tokenizer(), Silent())
    assert behave.statistics(rows, rows)["share_with_a_choice"] > 0.25


@pytest.mark.parametrize("pieces", ["bytes", "metaspace"])
def test_words_of_many_tokens_are_as_likely_as_words_of_one(pieces):
    policy, items = (
        POLICY.model_copy(update={"variation": 0.25}),
        generated.sample_items(random.Random(2), "prompts", 20, {"calc": 1.0}, [1, 2]),
    )
    spelt, whole = (
        behave.from_script(policy, items, tokenizer, Silent()) for tokenizer in (spelling(pieces), make_tokenizer())
    )
    for one, other in zip(spelt, whole, strict=True):
        assert one["response"] == other["response"]
        assert sum(one["behavior_logps"]) == pytest.approx(sum(other["behavior_logps"]))


def test_variation_needs_a_tokenizer_that_cuts_at_spaces():
    with pytest.raises(UserError, match="set variation: 0"):
        behave.scripts_of("calc :", {"D": [{"a": 0.5, "b": 0.5}]}, {"D": 1.0}, make_tokenizer(), lambda text: (1, 2, 3))


# Sampling from a model


@pytest.fixture(scope="module")
def sampled():
    """A random model, its prompts of ragged lengths, and the responses that were sampled from it."""
    texts = ["calc 1 + 2 :", "close ( [ { :", "cmp 3 4 :", "calc 1 + 2 + 3 - 4 :", "fact color gix :"] * 4
    settings = Sampling(seed=1, temperature=1.0, max_new_tokens=12, batch_size=8)
    model = random_llama(initializer_range=0.5)
    return model, texts, list(Static(model, make_tokenizer()).sample(texts, settings, top_k=5))


@torch.no_grad()
def test_sampled_log_probs_are_the_models_own(sampled):
    model, texts, responses = sampled
    tokenizer = make_tokenizer()
    for prompt, response in zip(texts, responses, strict=True):
        start = tokenizer(prompt)["input_ids"]
        logps = model(torch.tensor([start + response.ids])).logits[0, len(start) - 1 : -1].log_softmax(-1)
        own = logps[range(len(response.ids)), response.ids].tolist()
        assert response.logps == pytest.approx(own, abs=1e-4)
        for value in (response.top_ids, response.top_logps):
            assert [len(part) for part in value] == [5] * len(response.ids)
        top_logps, top_ids = torch.tensor(response.top_logps), torch.tensor(response.top_ids)
        torch.testing.assert_close(top_logps, logps.topk(5).values, rtol=0, atol=1e-4)
        torch.testing.assert_close(top_logps, logps.gather(-1, top_ids), rtol=0, atol=1e-4)


def test_a_response_ends_with_its_first_end_of_text(sampled):
    end = make_tokenizer().eos_token_id
    lengths = [len(response.ids) for response in sampled[2]]
    assert min(lengths) < 12 == max(lengths)
    for response in sampled[2]:
        assert end not in response.ids[:-1]
        assert response.ids[-1] == end or len(response.ids) == 12
        assert "<eos>" not in response.text


def test_a_cut_response_is_marked(sampled):
    end = make_tokenizer().eos_token_id
    assert {response.cut for response in sampled[2]} == {True, False}
    assert all(response.cut == (response.ids[-1] != end) for response in sampled[2])


# Given answers

SOLVED = [
    {"id": f"gsm8k-{n}", "task": "gsm8k", "prompt": f"calc {n} + 1 :", "answer": f"ans {n + 1}", "final": str(n + 1)}
    for n in range(3)
]


def test_given_answers_have_the_log_probs_of_the_teacher():
    teacher, tokenizer = random_llama(), make_tokenizer()
    rows = behave.from_given(SOLVED, Static(teacher, tokenizer))
    for item, row in zip(SOLVED, rows, strict=True):
        assert tokenizer.decode(row["completion_ids"]) == f"{item['answer']} <eos>"
        assert row["behavior_logps"] == pytest.approx(logps_of_row(teacher, row), abs=2e-5)
        assert max(row["behavior_logps"]) < 0
        assert (row["style"], row["correct"], row["cut"]) == ("given", True, False)


def stored_items() -> list[dict]:
    """What `SOLVED` asks, answered with the log-probs of a random model."""
    teacher, tokenizer = random_llama(), make_tokenizer()
    scored = behave.from_given(SOLVED, Static(teacher, tokenizer))
    return [
        item | {"response": row["response"], "logps": row["behavior_logps"]}
        for item, row in zip(SOLVED, scored, strict=True)
    ]


def test_stored_log_probs_are_read_as_they_are():
    items = stored_items()
    rows = behave.from_stored(items, make_tokenizer())
    assert rows == behave.from_given(items, Static(random_llama(), make_tokenizer()))
    other = behave.from_given(items, Static(random_llama(seed=8), make_tokenizer()))
    assert [row["behavior_logps"] for row in rows] != [row["behavior_logps"] for row in other]


@pytest.mark.parametrize(
    ("logps", "said"),
    [([-0.5, -0.1], "has 2 stored log-probs, and its response 3 tokens"), (None, "no stored log-probs")],
)
def test_stored_log_probs_of_other_tokens_are_refused(logps, said):
    items = stored_items()
    items[1]["logps"] = logps
    with pytest.raises(UserError, match=said):
        behave.from_stored(items, make_tokenizer())


def test_an_item_without_an_answer_is_refused():
    items = [*SOLVED, {"id": "own-4", "task": "own", "prompt": "calc 1 + 1 :", "answer": " "}]
    with pytest.raises(UserError, match="'own-4' has neither a response nor an answer"):
        behave.from_given(items, Static(random_llama(), make_tokenizer()))


@pytest.mark.parametrize("task", ["gsm8k", "program", "gym-knights_knaves"])
def test_a_script_for_given_answers_is_refused(task):
    with pytest.raises(UserError, match="set kind: given"):
        behave.from_script(POLICY, [SOLVED[0] | {"task": task}], make_tokenizer(), Silent())


# The stage

ITEMS = [
    {"id": f"calc-{number}", "task": "calc", "prompt": f"calc {number} + 1 :", "answer": str(number + 1)}
    for number in range(4)
]


@pytest.fixture
def project(tmp_path, monkeypatch) -> None:
    """A working folder with a model and prompts."""
    monkeypatch.chdir(tmp_path)
    folders.save(random_llama(), make_tokenizer(), paths.model("base-random"))
    jsonl.write(Path("prompts.jsonl"), registry.stamped(ITEMS))


def run(monkeypatch, responses: list[str], cut: Collection[int] = (), **changes) -> Path:
    """The output of the stage for a model that gives the responses, one for each item; ``cut``: those cut off."""
    asked = Sampling(seed=1, temperature=1.0, max_new_tokens=12, batch_size=8)
    policy = ModelPolicy(
        kind="model", model="base-random", prompts="prompts.jsonl", keep_correct_only=True, sampling=asked, top_k=1
    )
    write_params({"behave.model": policy.model_copy(update=changes).model_dump()})
    ids = [prompts.answer_ids(make_tokenizer(), "calc :", response) for response in responses]
    given = [
        Response(response, each, [-0.5] * len(each), [[7]] * len(each), [[-0.5]] * len(each), number in cut)
        for number, (response, each) in enumerate(zip(responses, ids, strict=True))
    ]
    monkeypatch.setattr(Static, "sample", lambda *arguments, **options: iter(given))
    behave.main("model")
    return paths.behaviour("model")


@pytest.mark.parametrize(
    ("only_right", "kept"), [(True, ["calc-0", "calc-3"]), (False, [item["id"] for item in ITEMS])]
)
def test_wrong_responses_are_kept_where_the_config_says_so(only_right, kept, project, monkeypatch):
    folder = run(monkeypatch, ["ans 1", "ans 9", "1", "ans 4"], keep_correct_only=only_right)
    rows = pandas.read_parquet(folder / "rows.parquet")
    assert rows["id"].tolist() == kept
    assert rows.loc[~rows["correct"], "id"].tolist() == ([] if only_right else ["calc-1", "calc-2"])
    found = json.loads((folder / "statistics.json").read_text())
    tokens = sum(map(len, rows["completion_ids"]))
    assert found == {
        "rows": 4,
        "kept": len(kept),
        "cut": 0,
        "accuracy": 0.5,
        "mean_tokens": tokens / len(kept),
        "mean_log_prob_behavior": -0.5,
        "share_with_a_choice": 1.0,
        "styles": {"model": 1.0},
    }
    assert not (folder / "policy").exists()
    assert len(dataset.read_rows(folder / "rows.parquet", make_tokenizer())) == len(kept)


def test_the_policy_is_kept_for_live_distillation(project, monkeypatch):
    folder = run(monkeypatch, ["ans 1", "ans 2", "ans 3", "ans 4"], keep_policy=True)
    before, after = (folders.load_model(each).state_dict() for each in (paths.model("base-random"), folder / "policy"))
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_the_stage_takes_given_answers(project):
    jsonl.write(Path("prompts.jsonl"), registry.stamped(SOLVED))
    policy = GivenPolicy(kind="given", model="base-random", prompts="prompts.jsonl")
    write_params({"behave.given": policy.model_dump()})
    behave.main("given")
    rows = dataset.read_rows(paths.behaviour("given") / "rows.parquet", make_tokenizer())
    assert [row["id"] for row in rows] == [item["id"] for item in SOLVED]
    dataset.examples(rows, with_top=False)


def test_cut_responses_are_left_out_where_the_config_says_so(project, monkeypatch):
    cut = Sampling(seed=1, temperature=1.0, max_new_tokens=12, keep_cut=False, batch_size=8)
    rows = pandas.read_parquet(
        run(monkeypatch, ["ans 1", "ans 2", "ans 3", "ans 4"], [1, 2], sampling=cut) / "rows.parquet"
    )
    assert rows["id"].tolist() == ["calc-0", "calc-3"]
    folder = run(monkeypatch, ["ans 1", "ans 2", "ans 3", "ans 4"], [1, 2])
    assert json.loads((folder / "statistics.json").read_text())["cut"] == 2
    with pytest.raises(UserError, match="cut off every response"):
        run(monkeypatch, ["ans 1", "ans 2", "ans 3", "ans 4"], range(4), sampling=cut)


def test_a_policy_that_writes_nothing_is_refused(project, monkeypatch):
    with pytest.raises(UserError, match="ended each of its 4 responses at once"):
        run(monkeypatch, [""] * 4, keep_correct_only=False)


def test_a_policy_that_is_never_right_is_refused(project, monkeypatch):
    with pytest.raises(UserError, match="gave no right response"):
        run(monkeypatch, ["ans 9"] * 4)
    assert not paths.behaviour("model").exists()
