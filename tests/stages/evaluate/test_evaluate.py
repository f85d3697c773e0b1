"""Scores by lm-eval, against the same scores worked out without it."""

import itertools
import json
import random
import shutil
import subprocess
from pathlib import Path

import pandas
import pytest
import torch
from lm_eval.tasks import TaskManager

from orchard import jsonl, paths, yamls
from orchard.engines.static import Static
from orchard.errors import UserError
from orchard.models import folders, formats, prompts, record
from orchard.sandbox import sandbox
from orchard.stages import lm_tasks
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.evaluate import __main__ as evaluate
from orchard.stages.evaluate import callbacks, harness, responses, subject
from orchard.stages.evaluate.lm import StrictLM
from orchard.study.schema.common import FewShot, Sampling
from orchard.study.schema.evaluate import Evaluate, EvaluateRun, GenerationTask, NamedTask, ScoredTask, Task
from orchard.study.schema.format import Format
from orchard.tasks import generated, programs, registry
from orchard.tasks.task import BALANCED, CUT_OFF, NO_ANSWER, UNBALANCED, WRONG
from tests.helpers.judging import judge
from tests.helpers.llama import random_llama, save_base
from tests.helpers.problems import PROBLEMS
from tests.helpers.sandboxes import needs_bubblewrap
from tests.helpers.stages import ENVIRONMENT, command
from tests.helpers.studies import write_params
from tests.helpers.tokenizers import load, save_as_it_is, speller, spelling

SHOTS = FewShot(count=3, items="shots.jsonl")
GREEDY = GenerationTask(kind="generation", items="calc.jsonl", max_new_tokens=24)
SAMPLED = GREEDY.model_copy(update={"samples": 4, "temperature": 1.0})
TASKS = {
    "calc": SAMPLED,
    "cmp": ScoredTask(kind="choice", items="cmp.jsonl", few_shot=SHOTS),
    "pairs": ScoredTask(kind="minimal-pair", items="pairs.jsonl"),
    "nats": ScoredTask(kind="likelihood", items="calc.jsonl"),
}
ASKED = Evaluate(seed=7, batch_size=16, tasks=TASKS)
# Of a generation task with four samples
METRICS = {"strict pass@1", *"pass@1 pass@4 rep-2 rep-3 rep-4 self-bleu-4 length balanced bracket-errors".split()}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with items of several tasks, a random model and a study."""
    folder = tmp_path_factory.mktemp("project")
    for name, role, count, mix in (
        ("calc", "eval", 30, {"calc": 1.0}),
        ("cmp", "eval", 40, {"cmp": 1.0}),
        ("shots", "calibration", 3, {"cmp": 1.0}),
    ):
        write_items(folder / f"{name}.jsonl", generated.sample_items(random.Random(1), role, count, mix, [2, 4]))
    sentences = ["cmp 3 4 : less", "cmp 4 3 : less", "calc 1 + 1 : ans 2"]
    pairs = [
        {"id": f"p{n}", "task": "pair", "prompt": "", "answer": a, "choices": [a, b], "label": 0}
        for n, (a, b) in enumerate(itertools.permutations(sentences, 2))
    ]
    write_items(folder / "pairs.jsonl", pairs)
    shape = {"num_hidden_layers": 2, "num_key_value_heads": 4, "max_position_embeddings": 128}
    save_base(random_llama(seed=5, initializer_range=0.4, **shape), folder / paths.model("base-random"))
    write_params({"evaluate": ASKED.model_dump()}, folder)
    return folder


def write_items(file: Path, items: list[dict]) -> None:
    """Writes a set as the stages of the study do, which evaluation demands."""
    jsonl.write(file, registry.stamped(items))


@pytest.fixture(autouse=True)
def inside(project, monkeypatch):
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    return harness.task_manager(ASKED)


def lm_of(batch_size: int = 16) -> StrictLM:
    folder = paths.model("base-random")
    return StrictLM(Static(folders.load_model(folder), folders.load_tokenizer(folder)), batch_size, ASKED.seed)


def run(manager: TaskManager, task: Task, lm: StrictLM | None = None, **changes) -> list[dict]:
    """lm-eval's rows of one task; ``changes`` go into what all tasks share."""
    return harness.run(lm or lm_of(), manager, task, ASKED.model_copy(update=changes))


def scores_of(task: Task, row: dict, lm: StrictLM) -> dict[str, float]:
    """Each metric of an item."""
    judgements = evaluate.judged(task, row, unsafe=False)
    return {score["metric"]: score["value"] for score in evaluate.item_scores("title", task, row, judgements, lm)}


@torch.inference_mode()
def log_likelihood(lm: StrictLM, context: list[int], continuation: list[int]) -> float:
    """The sum of the log-probs of the continuation, one text at a time, in nats."""
    logps = lm.engine.model(torch.tensor([context + continuation])).logits[0].log_softmax(-1)
    return sum(float(logps[len(context) + n - 1, token]) for n, token in enumerate(continuation))


def direct(lm: StrictLM, tokenizer) -> list[str]:
    """The greedy answers to the chains, without lm-eval."""
    prompts = [item["prompt"] for item in jsonl.read("calc.jsonl")]
    asked = Sampling(seed=7, temperature=0.0, max_new_tokens=24, batch_size=8)
    return [response.text for response in Static(lm.engine.model, tokenizer).sample(prompts, asked)]


def test_greedy_answers_equal_those_of_a_direct_loop(manager):
    lm = lm_of()
    rows = run(manager, GREEDY, lm)
    texts = direct(lm, lm.tokenizer)
    assert [row["resps"] for row in rows] == [[[text]] for text in texts]
    assert len(set(texts)) > 10
    right = [float(judge(item, text).right) for item, text in zip(jsonl.read("calc.jsonl"), texts, strict=True)]
    assert [scores_of(GREEDY, row, lm)["pass@1"] for row in rows] == right


def test_without_bos_the_answers_would_be_others():
    lm = lm_of()
    without = make_tokenizer()
    without._tokenizer.post_processor = None
    assert direct(lm, lm.tokenizer) != direct(lm, without)
    assert lm.tok_encode("cmp 3 4 :")[0] == lm.tokenizer.bos_token_id
    assert lm.tok_encode("cmp 3 4 :").count(lm.tokenizer.bos_token_id) == 1


def test_the_checkpoints_own_generation_settings_have_no_effect(manager):
    expected = [row["resps"] for row in run(manager, GREEDY)]
    model = folders.load_model(paths.model("base-random"))
    model.generation_config.repetition_penalty = 9.0
    model.generation_config.bad_words_ids = [[n] for n in range(10, 90)]
    lm = StrictLM(Static(model, make_tokenizer()), 16)
    assert [row["resps"] for row in run(manager, GREEDY, lm)] == expected


def spelled(tmp_path, ends: list[int] | None, limit: int, stop: list[str], manager) -> tuple[list[dict], list]:
    """The rows of chains that a model over bytes answers, and its own responses by another way."""
    model, tokenizer = load(save_as_it_is(*speller(ends=ends), tmp_path / "speller"))
    texts = [item["prompt"] for item in jsonl.read("calc.jsonl")]
    asked = Sampling(seed=7, temperature=0.0, max_new_tokens=limit, batch_size=8)
    direct = list(Static(model, tokenizer).sample(texts, asked))
    task = GREEDY.model_copy(update={"max_new_tokens": limit, "stop": stop})
    return run(manager, task, StrictLM(Static(model, tokenizer), 8)), direct


@pytest.mark.parametrize("stop", [[], ["no text has this"]])
def test_lengths_and_cuts_are_those_of_the_tokens_that_were_generated(stop, manager, tmp_path):
    """A text of such a model, cut anew, has other tokens: most bytes are no text alone."""
    rows, direct = spelled(tmp_path, None, 6, stop, manager)
    for row, response in zip(rows, direct, strict=True):
        (one,) = row["written"]
        assert one.ids + one.end == response.ids
        assert one.ended != response.cut
        (judgement,) = evaluate.judged(GREEDY, row, unsafe=False)
        assert (judgement.error == CUT_OFF) == response.cut or judgement.error == UNBALANCED
        scores = scores_of(GREEDY, row, None)
        assert scores["length"] == (6 if response.cut else len(response.ids) - 1)
        sample = evaluate.sample_row("title", row, [judgement])
        assert (json.loads(sample["tokens"]), json.loads(sample["cut"])) == ([one.ids], [response.cut])
    assert {response.cut for response in direct} >= {True}


def test_a_turns_end_ends_the_answer(manager, tmp_path):
    rows, direct = spelled(tmp_path, list(range(2, 40)), 20, [], manager)
    for row, response in zip(rows, direct, strict=True):
        (one,) = row["written"]
        assert one.ids + one.end == response.ids
        assert not set(one.ids) & set(range(2, 40))
        assert row["resps"] == [[response.text]]
    assert any(row["written"][0].end[:1] > [2] for row in rows)


def test_a_special_token_among_the_stop_texts_ends_the_answer(manager):
    model, tokenizer = lm_of().engine.model, make_tokenizer()
    words = run(manager, GREEDY)[0]["resps"][0][0].split()
    tokenizer.add_special_tokens({"additional_special_tokens": [words[3]]})
    row = run(manager, GREEDY.model_copy(update={"stop": [words[3]]}), StrictLM(Static(model, tokenizer), 16))[0]
    assert row["written"][0].ended
    assert len(row["written"][0].ids) == words.index(words[3])


def test_a_tokenizer_that_ends_texts_swallows_no_choice(manager, tmp_path):
    found = []
    for behind in ("", "<eos>"):
        model, tokenizer = load(save_as_it_is(*speller(spelling(behind=behind)), tmp_path / f"speller{behind}"))
        rows = run(manager, ScoredTask(kind="choice", items="cmp.jsonl"), StrictLM(Static(model, tokenizer), 8))
        found.append([row["resps"] for row in rows])
    assert found[0] == found[1]


def test_no_item_is_refused(manager, monkeypatch):
    monkeypatch.setattr(harness, "evaluate", lambda *_, **options: {"samples": {"orchard-generation": []}})
    with pytest.raises(UserError, match="has no item"):
        run(manager, GREEDY)


def test_a_stop_text_ends_the_answer(manager):
    rows = run(manager, GREEDY)
    words = rows[0]["resps"][0][0].split()
    (text,) = run(manager, GREEDY.model_copy(update={"stop": [words[3]]}))[0]["resps"][0]
    assert text.split() == words[: words.index(words[3])]


def test_samples_of_a_prompt_differ_and_are_all_scored(manager):
    lm = lm_of()
    rows = run(manager, SAMPLED, lm)
    assert all(len(row["resps"][0]) == 4 and len(set(row["resps"][0])) > 1 for row in rows)
    assert all(set(scores_of(SAMPLED, row, lm)) == METRICS for row in rows)


def test_a_response_without_end_differs_from_one_with(manager):
    """Where no special token stands in the middle, which leaves no text; some end here, at a stop text."""
    lm = lm_of()
    special = set(lm.tokenizer.all_special_tokens)
    whole = [row["resps"][0][0] for row in run(manager, GREEDY, lm)]
    stop = whole[0].split()[3]
    task = GREEDY.model_copy(update={"stop": [stop]})
    seen = []
    for text, row in zip(whole, run(manager, task, lm), strict=True):
        (tokens,) = [one.ids for one in row["written"]]
        (judgement,) = evaluate.judged(task, row, unsafe=False)
        if len(text.split()) == 24 and not special & set(text.split()):
            seen.append(stop in text.split())
            assert len(tokens) == (text.split().index(stop) if seen[-1] else 24)
            assert (judgement.error == CUT_OFF) == (not seen[-1] and judgement.error != UNBALANCED)
            assert judgement.error != NO_ANSWER or seen[-1]
    assert len(set(seen)) == 2


def test_choice_equals_brute_force_and_few_shot_examples_stand_before_it(manager):
    lm = lm_of()
    shots = jsonl.read("shots.jsonl")
    before = "".join(f"{shot['prompt']} {shot['answer']}\n" for shot in shots)
    rows = run(manager, TASKS["cmp"], lm)
    right = 0
    for row, item in zip(rows, jsonl.read("cmp.jsonl"), strict=True):
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
    rows = run(manager, TASKS["pairs"], lm)
    for row, item in zip(rows, jsonl.read("pairs.jsonl"), strict=True):
        values = [
            log_likelihood(lm, ids[:1], ids[1:])
            for ids in (lm.tokenizer(text)["input_ids"] for text in item["choices"])
        ]
        assert [resps[0][0] for resps in row["resps"]] == pytest.approx(values, abs=1e-4)
        assert row["acc"] == float(values[0] > values[1])
    assert 0 < sum(row["acc"] for row in rows) < len(rows)


def test_likelihood_is_nats_a_token_of_the_answer(manager):
    lm = lm_of()
    rows = run(manager, TASKS["nats"], lm)
    for row, item in zip(rows, jsonl.read("calc.jsonl"), strict=True):
        answer = lm.tokenizer(item["answer"], add_special_tokens=False)["input_ids"]
        expected = -log_likelihood(lm, lm.tokenizer(item["prompt"])["input_ids"], answer) / len(answer)
        (score,) = evaluate.item_scores("nats", TASKS["nats"], row, [], lm)
        assert (score["metric"], score["item"]) == ("nats", item["id"])
        assert score["value"] == pytest.approx(expected, abs=1e-4)


def test_batch_size_does_not_change_what_is_asked(manager):
    task = ScoredTask(kind="choice", items="cmp.jsonl")
    for one, many in zip(run(manager, task, lm_of(1)), run(manager, task, lm_of(64)), strict=True):
        assert [r[0][0] for r in one["resps"]] == pytest.approx([r[0][0] for r in many["resps"]], abs=1e-4)


@pytest.mark.parametrize("kind", ["generation", "choice"])
def test_a_prompt_that_would_be_cut_is_refused(manager, kind):
    write_items(Path("many.jsonl"), generated.sample_items(random.Random(1), "calibration", 40, {"cmp": 1.0}, [1, 1]))
    shots = FewShot(count=40, items="many.jsonl")
    tasks = {
        "generation": GREEDY.model_copy(update={"items": "cmp.jsonl", "few_shot": shots}),
        "choice": ScoredTask(kind="choice", items="cmp.jsonl", few_shot=shots),
    }
    with pytest.raises(UserError, match="128 positions"):
        run(manager, tasks[kind])


def test_two_runs_of_the_stage_are_the_same_to_the_byte(project):
    folder, outputs, run = paths.evaluation("base-random"), [], EvaluateRun(model="base-random")
    for _ in range(2):
        subprocess.run(command("evaluate", "base-random", run), check=True, env=ENVIRONMENT)
        outputs.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert set(outputs[0]) == {"scores.parquet", "samples.parquet", "record.json"}
    assert outputs[0] == outputs[1]
    check_metrics_of_responses(folder)
    inputs = {"calc.jsonl", "cmp.jsonl", "pairs.jsonl", "shots.jsonl", "results/models/base-random"}
    facts = json.loads(outputs[0]["record.json"])
    assert set(facts["inputs"]) == inputs
    assert facts["format"] == formats.facts(make_tokenizer())


def scored_until(monkeypatch, kill_at: int | None = None) -> list[str]:
    """The kinds of the tasks that are scored from now on; at one of them, if it is said, the stage ends."""
    found, own = [], harness.scored

    def counted(lm, loaded, task, asked):
        found.append(task.kind)
        if len(found) == kill_at:
            raise KeyboardInterrupt
        return own(lm, loaded, task, asked)

    monkeypatch.setattr(harness, "scored", counted)
    return found


def evaluated(**changes) -> str:
    """The hash of what the stage writes of a study with changes in its block."""
    write_params({"evaluate": ASKED.model_copy(update=changes).model_dump()})
    evaluate.main("base-random", EvaluateRun(model="base-random"))
    return record.content_hash(paths.evaluation("base-random"))


def test_a_killed_evaluation_keeps_what_it_scored_and_ends_with_the_same_bytes(monkeypatch):
    undisturbed = evaluated()
    scored_until(monkeypatch, kill_at=3)
    with pytest.raises(KeyboardInterrupt):
        evaluated()
    scored = scored_until(monkeypatch)
    assert evaluated() == undisturbed
    assert scored == ["minimal-pair", "likelihood"]


def test_a_task_that_changed_is_scored_anew_and_the_others_are_kept(monkeypatch):
    other = TASKS | {"cmp": TASKS["cmp"].model_copy(update={"few_shot": FewShot()})}
    undisturbed = evaluated(tasks=other)
    scored_until(monkeypatch, kill_at=4)
    with pytest.raises(KeyboardInterrupt):
        evaluated()
    scored = scored_until(monkeypatch)
    assert evaluated(tasks=other) == undisturbed
    assert scored == ["choice", "likelihood"]


@pytest.mark.parametrize("change", ["seed", "items", "model"])
def test_scores_of_something_else_are_not_kept(change, monkeypatch):
    scored_until(monkeypatch, kill_at=4)
    with pytest.raises(KeyboardInterrupt):
        evaluated()
    items, weights = Path("calc.jsonl"), paths.model("base-random") / "model.safetensors"
    before = {file: file.read_bytes() for file in (items, weights)}
    if change == "items":
        write_items(items, jsonl.read(items)[::-1])
    elif change == "model":
        other = random_llama(seed=6, num_hidden_layers=2, num_key_value_heads=4, max_position_embeddings=128)
        other.save_pretrained("other")
        shutil.copy("other/model.safetensors", weights)
    scored = scored_until(monkeypatch)
    evaluated(**({"seed": 8} if change == "seed" else {}))
    assert len(scored) == (2 if change == "items" else 4), "two tasks ask those items"
    for file, content in before.items():
        file.write_bytes(content)
    write_params({"evaluate": ASKED.model_dump()})


def check_metrics_of_responses(folder: Path) -> None:
    scores, samples = (pandas.read_parquet(folder / f"{name}.parquet") for name in ("scores", "samples"))
    found = scores[scores["task"] == "calc"].pivot(index="item", columns="metric", values="value")
    assert set(found.columns) == METRICS
    assert found["length"].between(1, 24).all()
    assert set(scores.loc[scores["task"] == "cmp", "metric"]) == {"acc"}
    errors = samples.set_index(["task", "item"])["errors"].map(json.loads)
    assert errors["calc"].map(len).eq(4).all()
    assert errors["cmp"].map(len).eq(0).all()
    for name, error in (("pass@1", None), ("bracket-errors", UNBALANCED)):
        shares = errors["calc"].map(lambda each, error=error: each.count(error) / 4)
        assert shares.equals(found[name].rename("errors"))


def test_a_task_by_name_scores_as_lm_eval_scores_it_alone(manager, project):
    """A YAML in the folder of tasks, asked for by name; lm-eval's own entry point is the reference."""
    from lm_eval import simple_evaluate

    ours, lm = run(manager, TASKS["cmp"]), lm_of()
    options = {"tasks": ["cmp-by-name"], "num_fewshot": 3, "task_manager": named_manager(project), "bootstrap_iters": 0}
    (results,) = simple_evaluate(lm, **options)["results"].values()
    assert results["acc,none"] == pytest.approx(sum(row["acc"] for row in ours) / len(ours))
    task = NamedTask(kind="lm-eval", task="cmp-by-name", few_shot=3)
    rows = run(named_manager(project), task)
    assert [row["acc"] for row in rows] == [row["acc"] for row in ours]
    assert [evaluate.item_id(row) for row in rows[:2]] == ["cmp-by-name-00000", "cmp-by-name-00001"]
    (score, *_) = evaluate.item_scores("named", task, rows[0], [], lm)
    assert (score["kind"], score["metric"]) == ("lm-eval", "acc")
    assert evaluate.judged(task, rows[0], unsafe=False) == []


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


def test_a_name_that_lm_eval_does_not_know_is_refused():
    with pytest.raises(UserError, match="did you mean 'gsm8k"):
        harness.task_manager(Evaluate(tasks={"mine": NamedTask(kind="lm-eval", task="gsm8kk")}))


CHAT = "<bos>{% for m in messages %}{{ m['content'] }} {% if m['role'] == 'assistant' %}<eos>{% endif %}{% endfor %}"


def spelling_lm() -> StrictLM:
    """A model whose tokenizer has tokens for any text."""
    tokenizer = spelling()
    model = random_llama(3, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, max_position_embeddings=512)
    return StrictLM(Static(model, tokenizer), 16, ASKED.seed)


def test_a_task_is_asked_in_the_format_of_the_model(manager):
    lm = spelling_lm()
    plain = {name: run(manager, task, lm) for name, task in TASKS.items()}
    lm.tokenizer.chat_template = CHAT  # which is used where the format says so
    assert harness.identity(run(manager, GREEDY, lm)) == harness.identity(plain["calc"])
    formats.put(lm.tokenizer, Format(template="own", system="fact"))
    asked = run(manager, GREEDY, lm)
    assert [row["arguments"][0][0] for row in asked] == [f"<bos>fact {row['doc']['prompt']} " for row in asked]
    assert harness.identity(asked)["hash"] != harness.identity(plain["calc"])["hash"]
    assert harness.identity(run(manager, GREEDY.model_copy(update={"plain": True}), lm)) == harness.identity(
        plain["calc"]
    )
    assert harness.identity(run(manager, TASKS["pairs"], lm)) == harness.identity(plain["pairs"])


def test_choices_and_references_are_scored_as_the_answers_that_are_learnt(manager):
    lm = spelling_lm()
    lm.tokenizer.chat_template = CHAT
    formats.put(lm.tokenizer, Format(template="own"))
    for row in run(manager, TASKS["nats"], lm)[:5]:
        ids = [prompts.prompt_ids(lm.tokenizer, row["doc"]["prompt"])]
        ids.append(prompts.answer_ids(lm.tokenizer, row["doc"]["prompt"], row["doc"]["answer"])[:-1])
        assert lm._encode_pair(*row["arguments"][0]) == tuple(ids)
        assert row["log_likelihood"] == pytest.approx(log_likelihood(lm, *ids), rel=1e-4)
    shots = jsonl.read("shots.jsonl")
    turns = [(shot["prompt"], shot["choices"][shot["label"]]) for shot in shots]
    before = "".join(f"{question} {answer} <eos>" for question, answer in turns)
    for row in run(manager, TASKS["cmp"], lm)[:5]:
        text, choice = row["arguments"][0]
        assert (text, choice) == (f"<bos>{before}{row['doc']['prompt']} ", row["doc"]["choices"][0])
        assert lm._encode_pair(text, choice)[0] == lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_summary_is_scored_by_rouge_l(manager):
    from rouge_score.rouge_scorer import RougeScorer

    lm, task = lm_of(), GREEDY.model_copy(update={"kind": "summary"})
    rows = run(manager, task, lm)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    for row, item in zip(rows, jsonl.read("calc.jsonl"), strict=True):
        assert row["rouge-l"] == scorer.score(item["answer"], row["resps"][0][0])["rougeL"].fmeasure
    found = callbacks.summary({"answer": "The cat sat down."}, [["the cats sat", "no"]])
    assert found["rouge-l"] == pytest.approx(3 / 7)
    assert evaluate.judged(task, rows[0], unsafe=False) == []


@needs_bubblewrap
def test_programs_are_run_and_their_errors_found(manager):
    items = [programs.from_humaneval(row, "ours", number) for number, row in enumerate(PROBLEMS[:4])]
    write_items(Path("programs.jsonl"), items)
    lm, task = lm_of(), GREEDY.model_copy(update={"items": "programs.jsonl"})
    rows = run(manager, task, lm)
    assert [scores_of(task, row, lm)["pass@1"] for row in rows] == [0.0] * 4, "a random model writes no program"
    item, solved = rows[0]["doc"], PROBLEMS[0]["canonical_solution"]
    written = [solved, f"```python\n{PROBLEMS[0]['prompt']}{solved}```", "    return (1\n", "    return 1\n"]
    judgements = [judge(item, response) for response in written]
    assert [judgement.error for judgement in judgements] == [None, None, UNBALANCED, WRONG]
    assert judge(item, "    return (1\n", ended=False).error == CUT_OFF
    found = responses.describe(written, [[1]] * 4, judgements)
    assert (found["pass@1"], found["pass@4"], found["strict pass@1"]) == (0.5, 1.0, 0.25)
    assert (found["balanced"], found["bracket-errors"]) == (0.75, 0.25)


@pytest.mark.parametrize("unsafe", [True, False])
def test_programs_run_without_a_sandbox_where_the_config_says_so_alone(unsafe, manager, monkeypatch):
    given = []

    def pretended(program, tests, limits, unsafe):
        given.append(unsafe)
        return sandbox.Outcome(None)

    monkeypatch.setattr(sandbox, "run", pretended)
    write_items(Path("programs.jsonl"), [programs.from_humaneval(PROBLEMS[0], "ours", 0)])
    task = GREEDY.model_copy(update={"items": "programs.jsonl"})
    lm = lm_of()
    (row,) = run(manager, task, lm)
    (judgement,) = evaluate.judged(task, row, unsafe)
    assert (judgement.right, judgement.brackets) == (True, BALANCED)
    assert set(given) == {unsafe}


@pytest.mark.parametrize(
    ("task", "right", "strict"),
    [
        ({"task": "gsm8k", "answer": "2 + 2 = 4 #### 4", "final": "4"}, "It is 4.", "so 4\n#### 4"),
        ({"task": "math", "answer": "\\boxed{4}", "final": "4"}, "4", "Thus \\boxed{4}."),
    ],
)
def test_the_very_form_counts_strictly(task, right, strict):
    judgements = [judge({"id": "1", "prompt": "?", **task}, text) for text in (right, strict)]
    assert [judgement.right for judgement in judgements] == [True, True]
    assert [judgement.strict for judgement in judgements] == [False, True]


@pytest.mark.parametrize("n", [1, 4, 7])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n):
    for right, k in itertools.product(range(n + 1), range(1, n + 1)):
        subsets = list(itertools.combinations([True] * right + [False] * (n - right), k))
        assert responses.pass_at_k(n, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_each_k_of_several_samples_is_the_chance_that_one_of_k_is_right(manager):
    """Chen et al. (arXiv 2107.03374), worked out by hand: 1 − C(n − right, k) / C(n, k)."""
    judgements = [judge({"id": "1", "task": "any", "prompt": "?", "answer": "4"}, text) for text in "4 5 6 7".split()]
    found = responses.describe("4 5 6 7".split(), [[1]] * 4, judgements, [1, 2, 3])
    assert {name: value for name, value in found.items() if name.startswith("pass")} == {
        "pass@1": 0.25, "pass@2": 0.5, "pass@3": 0.75,
    }  # fmt: skip
    lm, task = lm_of(), SAMPLED.model_copy(update={"k": [3]})
    names = set(scores_of(task, run(manager, task, lm)[0], lm))
    assert {name for name in names if name.startswith("pass@")} == {"pass@1", "pass@3"}
    assert SAMPLED.ks() == [1, 4]
    assert SAMPLED.with_samples(2).ks() == [1, 2]


@pytest.mark.parametrize(
    ("all_tasks", "own", "count"),
    [(None, None, 30), (7, None, 7), (7, 3, 3), (7, 0.5, 15), (0.1, None, 3), (0.11, 99, 30)],
)
def test_a_limit_is_a_number_or_a_share_of_the_first_items(all_tasks, own, count, manager):
    task = ScoredTask(kind="likelihood", items="calc.jsonl", limit=own)
    asked = ASKED.model_copy(update={"limit": all_tasks, "tasks": {"nats": task}})
    rows = harness.run(lm_of(), manager, task, asked)
    assert [row["doc"]["id"] for row in rows] == [item["id"] for item in jsonl.read("calc.jsonl")][:count]
    assert len(evaluate.all_items(asked)) == count


@pytest.mark.parametrize(("limit", "count"), [(None, 40), (6, 6), (0.1, 4)])
def test_a_limit_holds_for_lm_evals_tasks_too(limit, count, project):
    task = NamedTask(kind="lm-eval", task="cmp-by-name", limit=limit)
    assert len(run(named_manager(project), task)) == count


def test_the_likeliest_token_alone_is_greedy_decoding(manager):
    """A model over bytes, whose samples at this temperature are all else."""
    greedy = [row["resps"][0][0] for row in run(manager, GREEDY)]
    sampled = GREEDY.model_copy(update={"temperature": 1.5})
    assert [row["resps"][0][0] for row in run(manager, sampled)] != greedy
    for only in ({"top_k": 1}, {"top_p": 1e-6}):
        assert [row["resps"][0][0] for row in run(manager, sampled.model_copy(update=only))] == greedy


def test_samples_are_of_so_many_likeliest_tokens(manager):
    lm = lm_of()
    for row in run(manager, SAMPLED.model_copy(update={"top_k": 3, "limit": 4, "max_new_tokens": 8}), lm):
        for one in row["written"]:
            context = lm.tokenizer(row["doc"]["prompt"])["input_ids"]
            for place, token in enumerate(one.ids):
                with torch.inference_mode():
                    logits = lm.engine.model(torch.tensor([context + one.ids[:place]])).logits[0, -1]
                assert token in logits.topk(3).indices.tolist()


def test_what_summaries_are_like_is_measured_too(manager):
    lm, task = lm_of(), GREEDY.model_copy(update={"kind": "summary"})
    row = run(manager, task, lm)[0]
    found = scores_of(task, row, lm)
    assert set(found) == {"rouge-l", "rep-2", "rep-3", "rep-4", "self-bleu-4", "length"}
    assert found["length"] == len(row["written"][0].ids)


def by_name(project, name: str, **more) -> TaskManager:
    """lm-eval's tasks with one more on the comparisons, which the model answers in words."""
    folder = project / "named"
    folder.mkdir(exist_ok=True)
    task = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "cmp.jsonl"}}}
    task |= {"output_type": "generate_until", "test_split": "test", "doc_to_text": "prompt", "doc_to_target": "answer"}
    task |= {"generation_kwargs": {"until": ["<eos>"], "max_gen_toks": 4, "do_sample": False}} | more
    (folder / f"{name}.yaml").write_text(yamls.dumps(task))
    return TaskManager(include_path=str(folder), include_defaults=False)


def test_responses_that_are_read_in_two_ways_are_measured_once(project):
    """As GSM8K's in lm-eval, which has a strict and a flexible filter."""
    filters = [
        {"name": name, "filter": [{"function": "regex", "regex_pattern": pattern}, {"function": "take_first"}]}
        for name, pattern in (("strict", "^(less)$"), ("flexible-extract", "(\\w+)"))
    ]
    exact = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]
    manager = by_name(project, "cmp-two-ways", filter_list=filters, metric_list=exact)
    lm, task = lm_of(), NamedTask(kind="lm-eval", task="cmp-two-ways", limit=5)
    rows = run(manager, task, lm)
    found = [score for row in rows for score in evaluate.item_scores("t", task, row, [], lm)]
    names = [score["metric"] for score in found]
    assert {name: names.count(name) for name in names} == dict.fromkeys(
        ["exact_match, strict", "exact_match, flexible-extract", "rep-2", "rep-3", "rep-4", "self-bleu-4", "length"], 5
    )
    lengths = [score["value"] for score in found if score["metric"] == "length"]
    assert lengths == [len(row["written"][0].ids) for row in rows if row["is_first"]]


def test_metrics_that_are_no_mean_over_items_are_left_out_and_told(project):
    """mcc is one number for all items, and lm-eval has pairs for each of them."""
    more = {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "label"}
    both = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}, {"metric": "mcc"}]
    manager = by_name(project, "cmp-mcc", **more, metric_list=both)
    lm, task = lm_of(), NamedTask(kind="lm-eval", task="cmp-mcc")
    loaded = harness.load(manager, task, ASKED, lm.tokenizer)
    rows = harness.scored(lm, loaded, task, ASKED)
    assert set(scores_of(task, rows[0], lm)) == {"acc"}
    assert evaluate.facts(task, loaded) == {"metrics": ["acc"], "left_out": ["mcc"], "less_is_better": []}
    alone = by_name(project, "cmp-mcc-alone", **more, metric_list=[{"metric": "mcc"}])
    with pytest.raises(UserError, match="has no metric but mcc"):
        harness.load(alone, NamedTask(kind="lm-eval", task="cmp-mcc-alone"), ASKED, lm.tokenizer)


def test_a_task_that_cannot_be_loaded_costs_no_score(project, monkeypatch):
    monkeypatch.setattr(subject, "loaded", lambda *_: pytest.fail("the model is loaded, and perhaps scored"))
    manager = by_name(project, "cmp-of-the-hub", dataset_path="some/set", dataset_kwargs={})
    monkeypatch.setattr(harness, "task_manager", lambda asked: TaskManager(
        include_path=[str(lm_tasks.YAMLS), str(project / "named")], include_defaults=False
    ))  # fmt: skip
    for data in (None, "own", "data/eval/none"):
        tasks = TASKS | {"named": NamedTask(kind="lm-eval", task="cmp-of-the-hub", data=data)}
        write_params({"evaluate": ASKED.model_copy(update={"tasks": tasks}).model_dump()})
        with pytest.raises(UserError, match=r"(?s)lm-eval asks for the data set some/set.*data\.fetch"):
            evaluate.main("base-random", EvaluateRun(model="base-random"))
    write_params({"evaluate": ASKED.model_dump()})
    assert "cmp-of-the-hub" in manager.all_tasks


def test_the_stage_of_a_suite_asks_its_tasks_alone(project):
    suites = {"few": {"of": ["base"], "tasks": ["calc", "cmp"], "samples": {"calc": 2}}}
    suites["others"] = {"of": ["prune"], "tasks": ["pairs", "nats"]}
    asked = ASKED.model_dump() | {"suites": suites}
    write_params({"evaluate": asked})
    evaluate.main("base-random.few", EvaluateRun(model="base-random", suite="few", folder="base-random.suites/few"))
    with pytest.raises(UserError, match="a suite 'all', where there is few, others"):
        evaluate.main("base-random", EvaluateRun(model="base-random"))
    write_params({"evaluate": ASKED.model_dump()})
    with pytest.raises(UserError, match="a suite 'few', where there is all"):
        evaluate.main("base-random.few", EvaluateRun(model="base-random", suite="few"))
    folder = paths.evaluation("base-random", "few")
    scores, told = pandas.read_parquet(folder / "scores.parquet"), json.loads((folder / "record.json").read_text())
    assert set(scores["task"]) == {"calc", "cmp"}
    assert {"pass@1", "pass@2"} <= set(scores["metric"])
    assert "pass@4" not in set(scores["metric"])
    assert (told["model"], told["suite"], list(told["tasks"])) == ("base-random", "few", ["calc", "cmp"])
