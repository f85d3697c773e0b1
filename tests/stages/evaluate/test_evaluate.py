"""Scores by lm-eval, against the same scores worked out without it."""

import itertools
import json
import random
import subprocess
import sys

import pandas
import pytest
import torch
import yaml
from lm_eval.tasks import TaskManager

from orchard.errors import UserError
from orchard.models import folders as models
from orchard.models import sampling
from orchard.stages import stage
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.evaluate import __main__ as evaluate
from orchard.stages.evaluate import callbacks as scoring
from orchard.stages.evaluate.lm import StrictLM
from orchard.tasks import items, programs
from tests.helpers.llama import random_llama
from tests.helpers.problems import PROBLEMS
from tests.test_sandbox import needs_bubblewrap

SETTINGS = {"seed": 7, "backend": "hf", "chat_template": False, "limit": None, "unsafe_programs": False}
NO_SHOTS = {"count": 0, "items": None}
GREEDY = {
    "kind": "generation",
    "samples": 1,
    "temperature": 0.0,
    "max_new_tokens": 24,
    "stop": [],
    "few_shot": NO_SHOTS,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with items of several tasks, a random model and a config."""
    folder = tmp_path_factory.mktemp("project")
    for name, role, count, mix in (
        ("calc", "eval", 30, {"calc": 1.0}),
        ("cmp", "eval", 40, {"cmp": 1.0}),
        ("shots", "calibration", 3, {"cmp": 1.0}),
    ):
        rows = items.sample_items(random.Random(1), role, count, mix, [2, 4])
        stage.write_jsonl(folder / f"{name}.jsonl", rows)
    pairs = [
        {"id": f"p{n}", "task": "pair", "prompt": "", "answer": a, "choices": [a, b], "label": 0}
        for n, (a, b) in enumerate(
            itertools.permutations(["cmp 3 4 : less", "cmp 4 3 : less", "calc 1 + 1 : ans 2"], 2)
        )
    ]
    stage.write_jsonl(folder / "pairs.jsonl", pairs)
    tokenizer = make_tokenizer()
    (folder / "results/models").mkdir(parents=True)
    model_folder = folder / "results/models/base-random"
    models.save(
        random_llama(
            seed=5, num_hidden_layers=2, num_key_value_heads=4, max_position_embeddings=128, initializer_range=0.4
        ),
        tokenizer,
        model_folder,
    )
    (model_folder / "record.json").write_text("{}")
    tasks = {
        "calc": GREEDY | {"items": "calc.jsonl", "samples": 4, "temperature": 1.0},
        "cmp": {"kind": "choice", "items": "cmp.jsonl", "few_shot": {"count": 3, "items": "shots.jsonl"}},
        "pairs": {"kind": "minimal-pair", "items": "pairs.jsonl", "few_shot": NO_SHOTS},
        "nats": {"kind": "likelihood", "items": "calc.jsonl", "few_shot": NO_SHOTS},
    }
    config = {"evaluate": SETTINGS | {"batch_size": 16, "tasks": tasks}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(autouse=True)
def inside(project, monkeypatch):
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def manager():
    return TaskManager(include_path=str(evaluate.YAMLS), include_defaults=False)


def lm_of(batch_size: int = 16) -> StrictLM:
    folder = "results/models/base-random"
    return StrictLM(models.load_model(folder), models.load_tokenizer(folder), batch_size)


def run(manager, options: dict, lm: StrictLM | None = None) -> list[dict]:
    return evaluate.run_task(lm or lm_of(), manager, options, SETTINGS)


@torch.inference_mode()
def log_likelihood(lm: StrictLM, context: list[int], continuation: list[int]) -> float:
    """The sum of the log-probs of the continuation, one text at a time, in nats."""
    logps = lm.model(torch.tensor([context + continuation])).logits[0].log_softmax(-1)
    return sum(float(logps[len(context) + n - 1, token]) for n, token in enumerate(continuation))


def direct(lm: StrictLM, tokenizer, temperature: float = 0.0) -> list[str]:
    prompts = [item["prompt"] for item in stage.read_jsonl("calc.jsonl")]
    settings = {"seed": 7, "temperature": temperature, "top_p": 1.0, "max_new_tokens": 24, "batch_size": 8}
    return [text for text, *_ in sampling.sample(lm.model, tokenizer, prompts, settings)]


def test_greedy_answers_equal_those_of_a_direct_loop(manager):
    lm = lm_of()
    rows = run(manager, GREEDY | {"items": "calc.jsonl"}, lm)
    texts = direct(lm, lm.tokenizer)
    assert [row["resps"] for row in rows] == [[[text]] for text in texts]
    assert len(set(texts)) > 10
    calc = stage.read_jsonl("calc.jsonl")
    assert [row["pass@1"] for row in rows] == [float(items.is_correct(i, t)) for i, t in zip(calc, texts, strict=True)]


def test_without_bos_the_answers_would_be_others():
    lm = lm_of()
    without = make_tokenizer()
    without._tokenizer.post_processor = None
    assert direct(lm, lm.tokenizer) != direct(lm, without)
    assert lm.tok_encode("cmp 3 4 :")[0] == lm.tokenizer.bos_token_id
    assert lm.tok_encode("cmp 3 4 :").count(lm.tokenizer.bos_token_id) == 1


def test_the_checkpoints_own_generation_settings_have_no_effect(manager):
    expected = [row["resps"] for row in run(manager, GREEDY | {"items": "calc.jsonl"})]
    model = models.load_model("results/models/base-random")
    model.generation_config.repetition_penalty = 9.0
    model.generation_config.bad_words_ids = [[n] for n in range(10, 90)]
    lm = StrictLM(model, make_tokenizer(), 16)
    assert [row["resps"] for row in run(manager, GREEDY | {"items": "calc.jsonl"}, lm)] == expected


def test_a_stop_text_ends_the_answer(manager):
    rows = run(manager, GREEDY | {"items": "calc.jsonl"})
    words = rows[0]["resps"][0][0].split()
    (text,) = run(manager, GREEDY | {"items": "calc.jsonl", "stop": [words[3]]})[0]["resps"][0]
    assert text.split() == words[: words.index(words[3])]


def test_samples_of_a_prompt_differ_and_are_all_scored(manager):
    rows = run(manager, GREEDY | {"items": "calc.jsonl", "samples": 4, "temperature": 1.0})
    assert all(len(row["resps"][0]) == 4 and len(set(row["resps"][0])) > 1 for row in rows)
    assert all(set(row["metrics"]) == {"pass@1", "pass@4", "strict pass@1"} for row in rows)


def test_a_response_without_end_is_told_from_one_with(manager):
    """Where no special token stands in the middle, which leaves no text; some end here, at a stop text."""
    lm = lm_of()
    special = set(lm.tokenizer.all_special_tokens)
    whole = [row["resps"][0][0] for row in run(manager, GREEDY | {"items": "calc.jsonl"}, lm)]
    stop = whole[0].split()[3]
    rows = run(manager, GREEDY | {"items": "calc.jsonl", "stop": [stop]}, lm)
    seen = []
    for text, row in zip(whole, rows, strict=True):
        _, (tokens,) = evaluate.written(row, lm.tokenizer)
        (error,) = evaluate.errors_of(GREEDY, row, lm)
        if len(text.split()) == 24 and not special & set(text.split()):
            seen.append(stop in text.split())
            assert len(tokens) == (text.split().index(stop) if seen[-1] else 24)
            assert (error == "cut off") == (not seen[-1] and error != "unbalanced brackets")
            assert error != "no answer" or seen[-1]
    assert len(set(seen)) == 2


def test_choice_equals_brute_force_and_few_shot_examples_stand_before_it(manager):
    lm = lm_of()
    shots = stage.read_jsonl("shots.jsonl")
    before = "".join(f"{shot['prompt']} {shot['answer']}\n" for shot in shots)
    rows = run(manager, {"kind": "choice", "items": "cmp.jsonl", "few_shot": {"count": 3, "items": "shots.jsonl"}}, lm)
    right = 0
    for row, item in zip(rows, stage.read_jsonl("cmp.jsonl"), strict=True):
        prompt = before + item["prompt"]
        assert [argument[0] for argument in row["arguments"]] == [prompt] * 3
        context = lm.tokenizer(prompt)["input_ids"]
        values = [
            log_likelihood(lm, context, lm.tokenizer(choice, add_special_tokens=False)["input_ids"])
            for choice in item["choices"]
        ]
        assert [resps[0][0] for resps in row["resps"]] == pytest.approx(values, abs=1e-4)
        assert row["acc"] == float(values.index(max(values)) == item["label"])
        right += row["acc"]
    assert 0 < right < len(rows)


def test_minimal_pairs_equal_brute_force_from_bos_on(manager):
    lm = lm_of()
    rows = run(manager, {"kind": "minimal-pair", "items": "pairs.jsonl", "few_shot": NO_SHOTS}, lm)
    for row, item in zip(rows, stage.read_jsonl("pairs.jsonl"), strict=True):
        values = [
            log_likelihood(lm, ids[:1], ids[1:])
            for ids in (lm.tokenizer(text)["input_ids"] for text in item["choices"])
        ]
        assert [resps[0][0] for resps in row["resps"]] == pytest.approx(values, abs=1e-4)
        assert row["acc"] == float(values[0] > values[1])
    assert 0 < sum(row["acc"] for row in rows) < len(rows)


def test_likelihood_is_nats_a_token_of_the_answer(manager):
    lm = lm_of()
    rows = run(manager, {"kind": "likelihood", "items": "calc.jsonl", "few_shot": NO_SHOTS}, lm)
    for row, item in zip(rows, stage.read_jsonl("calc.jsonl"), strict=True):
        answer = lm.tokenizer(item["answer"], add_special_tokens=False)["input_ids"]
        expected = -log_likelihood(lm, lm.tokenizer(item["prompt"])["input_ids"], answer) / len(answer)
        (score,) = evaluate.item_scores("nats", {"kind": "likelihood"}, row, [], lm)
        assert (score["metric"], score["item"]) == ("nats", item["id"])
        assert score["value"] == pytest.approx(expected, abs=1e-4)


def test_batch_size_does_not_change_what_is_asked(manager):
    options = {"kind": "choice", "items": "cmp.jsonl", "few_shot": NO_SHOTS}
    for one, many in zip(run(manager, options, lm_of(1)), run(manager, options, lm_of(64)), strict=True):
        assert [r[0][0] for r in one["resps"]] == pytest.approx([r[0][0] for r in many["resps"]], abs=1e-4)


@pytest.mark.parametrize("kind", ["generation", "choice"])
def test_a_prompt_that_would_be_cut_is_refused(manager, kind):
    rows = items.sample_items(random.Random(1), "calibration", 40, {"cmp": 1.0}, [1, 1])
    stage.write_jsonl(stage.Path("many.jsonl"), rows)
    options = GREEDY | {"kind": kind, "items": "cmp.jsonl", "few_shot": {"count": 40, "items": "many.jsonl"}}
    with pytest.raises(UserError, match="128 positions"):
        run(manager, options)


def test_two_runs_of_the_stage_are_the_same_to_the_byte(project):
    outputs = []
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "orchard.evaluate", "base-random"], cwd=project, check=True)
        folder = project / "results/evals/base-random"
        outputs.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert set(outputs[0]) == {"scores.parquet", "samples.parquet", "record.json"}
    assert outputs[0] == outputs[1]
    check_metrics_of_responses(project / "results/evals/base-random")
    record = json.loads(outputs[0]["record.json"])
    assert set(record["inputs"]) == {
        "calc.jsonl",
        "cmp.jsonl",
        "pairs.jsonl",
        "shots.jsonl",
        "results/models/base-random",
    }


def check_metrics_of_responses(folder):
    scores, samples = (pandas.read_parquet(folder / f"{name}.parquet") for name in ("scores", "samples"))
    told = scores[scores["task"] == "calc"].pivot(index="item", columns="metric", values="value")
    assert set(told.columns) == {"pass@1", "pass@4", "strict pass@1", "rep-2", "rep-3", "rep-4", "self-bleu-4",
                                 "length", "balanced", "bracket-errors"}  # fmt: skip
    assert told["length"].between(1, 24).all()
    assert set(scores.loc[scores["task"] == "cmp", "metric"]) == {"acc"}
    errors = samples.set_index(["task", "item"])["errors"].map(json.loads)
    assert errors["calc"].map(len).eq(4).all()
    assert errors["cmp"].map(len).eq(0).all()
    for name, found in (("pass@1", None), ("bracket-errors", "unbalanced brackets")):
        assert errors["calc"].map(lambda each, found=found: each.count(found) / 4).equals(told[name].rename("errors"))


def test_a_task_by_name_scores_as_lm_eval_scores_it_alone(manager, project):
    """A YAML in the folder of tasks, asked for by name; lm-eval's own entry point is the reference."""
    from lm_eval import simple_evaluate

    shots = {"count": 3, "items": "shots.jsonl"}
    ours = run(manager, {"kind": "choice", "items": "cmp.jsonl", "few_shot": shots})
    named = {"tasks": ["cmp-by-name"], "num_fewshot": 3, "task_manager": named_manager(project), "bootstrap_iters": 0}
    (results,) = simple_evaluate(lm_of(), **named)["results"].values()
    assert results["acc,none"] == pytest.approx(sum(row["acc"] for row in ours) / len(ours))
    named = run(named_manager(project), {"kind": "lm-eval", "task": "cmp-by-name", "few_shot": 3})
    assert [row["acc"] for row in named] == [row["acc"] for row in ours]
    assert [evaluate.item_id(row) for row in named[:2]] == ["cmp-by-name-00000", "cmp-by-name-00001"]
    (score, *_) = evaluate.item_scores("named", {"kind": "lm-eval"}, named[0], [], lm_of())
    assert (score["kind"], score["metric"]) == ("lm-eval", "acc")
    assert evaluate.errors_of({"kind": "lm-eval"}, named[0], lm_of()) == []


def named_manager(project) -> TaskManager:
    folder = project / "named"
    folder.mkdir(exist_ok=True)
    (folder / "cmp.yaml").write_text(
        """
        task: cmp-by-name
        dataset_path: json
        dataset_kwargs: {data_files: {test: cmp.jsonl, shots: shots.jsonl}}
        output_type: multiple_choice
        test_split: test
        fewshot_split: shots
        fewshot_config: {sampler: first_n}
        fewshot_delimiter: "\\n"
        doc_to_text: prompt
        doc_to_choice: choices
        doc_to_target: label
        target_delimiter: " "
        metric_list: [{metric: acc}]
        """
    )
    return TaskManager(include_path=str(folder), include_defaults=False)


def test_a_name_that_lm_eval_does_not_know_is_told():
    settings = {"tasks": {"mine": {"kind": "lm-eval", "task": "gsm8kk", "few_shot": None}}}
    with pytest.raises(UserError, match="gsm8k"):
        evaluate.task_manager(settings)


def test_vllm_is_refused_where_it_is_not_installed(project):
    with pytest.raises(UserError, match="pip install vllm"):
        evaluate.backend(project / "results/models/base-random", SETTINGS | {"backend": "vllm", "batch_size": 4})


def test_a_chat_template_is_used_where_the_model_has_one(manager):
    lm, options = lm_of(), GREEDY | {"items": "calc.jsonl"}
    plain = run(manager, options, lm)
    assert evaluate.template_hash(lm, SETTINGS | {"chat_template": True}) is None
    lm.tokenizer.chat_template = "{% for m in messages %}calc {{ m['content'] }} {% endfor %}"
    assert evaluate.template_hash(lm, SETTINGS) is None
    asked = evaluate.run_task(lm, manager, options, SETTINGS | {"chat_template": True})
    assert [row["arguments"][0][0] for row in asked] == [f"calc {row['arguments'][0][0]} " for row in plain]
    assert len(evaluate.template_hash(lm, SETTINGS | {"chat_template": True})) == 64
    assert evaluate.identity(asked)["hash"] != evaluate.identity(plain)["hash"]
    assert evaluate.identity(run(manager, options, lm)) == evaluate.identity(plain)


def test_a_summary_is_scored_by_rouge_l(manager):
    lm = lm_of()
    rows = run(manager, GREEDY | {"kind": "summary", "items": "calc.jsonl"}, lm)
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    for row, item in zip(rows, stage.read_jsonl("calc.jsonl"), strict=True):
        assert row["rouge-l"] == scorer.score(item["answer"], row["resps"][0][0])["rougeL"].fmeasure
    assert scoring.summary({"answer": "The cat sat down."}, [["the cats sat", "no"]])["rouge-l"] == pytest.approx(3 / 7)
    assert evaluate.errors_of({"kind": "summary"}, rows[0], lm) == []


@needs_bubblewrap
def test_programs_are_run_and_their_errors_told(manager, project):
    stage.write_jsonl(project / "programs.jsonl", [
        {"id": f"humaneval-{n}"} | programs.from_humaneval(row) for n, row in enumerate(PROBLEMS[:4])
    ])  # fmt: skip
    rows = run(manager, GREEDY | {"items": "programs.jsonl"})
    assert [row["pass@1"] for row in rows] == [0.0] * 4, "a random model writes no program"
    item = rows[0]["doc"]
    assert item["unsafe"] is False
    solved = PROBLEMS[0]["canonical_solution"]
    responses = [solved, f"```python\n{PROBLEMS[0]['prompt']}{solved}```", "    return (1\n", "    return 1\n"]
    assert scoring.generation(item, [responses]) == {"pass@1": 0.5, "pass@4": 1.0, "strict pass@1": 0.25}
    told = [evaluate.responses.error(item, response, True) for response in responses]
    assert told == [None, None, "unbalanced brackets", "wrong answer"]
    assert evaluate.responses.error(item, "    return (1\n", False) == "cut off"
    measured = evaluate.responses.describe(item, responses, [[1]] * 4, told)
    assert (measured["balanced"], measured["bracket-errors"]) == (0.75, 0.25)


@pytest.mark.parametrize(
    ("task", "right", "strict"),
    [
        ({"task": "gsm8k", "answer": "2 + 2 = 4 #### 4", "final": "4"}, "It is 4.", "so 4\n#### 4"),
        ({"task": "math", "answer": "\\boxed{4}", "final": "4"}, "4", "Thus \\boxed{4}."),
    ],
)
def test_the_very_form_counts_strictly(task, right, strict):
    item = {"id": "1", "prompt": "?", **task}
    assert [items.is_correct(item, text) for text in (right, strict)] == [True, True]
    assert [items.is_strictly_correct(item, text) for text in (right, strict)] == [False, True]


@pytest.mark.parametrize("n", [1, 4, 7])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n):
    for right, k in itertools.product(range(n + 1), range(1, n + 1)):
        subsets = list(itertools.combinations([True] * right + [False] * (n - right), k))
        assert scoring.pass_at_k(n, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
