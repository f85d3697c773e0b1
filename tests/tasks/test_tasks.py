"""Generated tasks: answers against brute force, styles, verifiers, and splits that never meet."""

import random
import re

import pytest

from orchard.tasks import calc, generated, lexicon, words
from tests.helpers.judging import judge

CALC, STEP, ENGLISH = (generated.TASKS[name] for name in ("calc", "calc-step", "english-arithmetic"))
BRACKETS, COMPARISON = words.TASKS["brackets"], words.TASKS["cmp"]


def is_right(prompt: str, response: str, task: str = "calc") -> bool:
    """Whether a response to a prompt of a generated task is right."""
    answer = generated.TASKS[task].answer(prompt)
    return judge({"task": task, "prompt": prompt, "answer": answer}, response).right


@pytest.mark.parametrize("seed", range(50))
def test_a_chain_comes_to_what_python_computes_from_left_to_right(seed):
    prompt = calc.sample_prompt(random.Random(seed), steps=seed % 6 + 1)
    numbers = prompt.removeprefix("calc ").removesuffix(" :").split()
    value = int(numbers[0])
    for operator, right in zip(numbers[1::2], numbers[2::2], strict=True):
        value = eval(f"({value} {operator} {right}) % 10")
    assert CALC.answer(prompt) == str(value)


@pytest.mark.parametrize("style", calc.STYLES)
def test_every_style_is_right_and_in_the_vocabulary(style):
    rng = random.Random(1)
    for steps in range(1, 7):
        prompt = calc.sample_prompt(rng, steps)
        response = calc.worked(prompt, style)
        assert is_right(prompt, response)
        assert set(f"{prompt} {response}".split()) <= set(lexicon.WORDS)


def test_noise_spoils_about_its_share_of_the_steps():
    rng = random.Random(3)
    right = sum(
        is_right(prompt, calc.worked(prompt, "A", noise=0.5, rng=rng))
        for prompt in (calc.sample_prompt(rng, 1) for _ in range(2000))
    )
    assert 0.5 < right / 2000 < 0.6  # half the results are dealt anew, one in ten of those is right by chance: 0.55


@pytest.mark.parametrize("response", ["ans 3 4", "ans", "3", "9 + 4 = 3", "ans 5"])
def test_a_wrong_or_unfinished_answer_gets_nothing(response):
    assert not is_right("calc 9 + 4 :", response)


def test_brackets_are_closed():
    rng = random.Random(4)
    for _ in range(100):
        prompt = BRACKETS.sample(rng, rng.randint(1, 6))
        text = f"{prompt.removeprefix('close ').removesuffix(' :')} {BRACKETS.answer(prompt)}".replace(" ", "")
        while (shorter := re.sub(r"\((\d)\)\1|\[(\d)\]\2|\{(\d)\}\3", "", text)) != text:
            text = shorter
        assert text == ""


def test_a_bracket_with_another_digit_is_wrong_though_balanced():
    assert is_right("close ( 3 [ 4 :", "] 4 ) 3", "brackets")
    assert not is_right("close ( 3 [ 4 :", "] 4 ) 5", "brackets")


def test_comparisons_and_english_sums():
    rng = random.Random(5)
    for _ in range(100):
        left, right = map(int, (prompt := COMPARISON.sample(rng, 1)).split()[1:3])
        assert COMPARISON.answer(prompt) == {True: "less", False: "more"}.get(left < right) or left == right
        problem = ENGLISH.sample(rng, 1)
        assert int(ENGLISH.answer(problem)) == eval(problem.removesuffix(" ="))
        assert is_right(problem, f" {ENGLISH.answer(problem)}\n", "english-arithmetic")


def test_roles_never_share_a_prompt():
    mix = {"calc": 0.5, "brackets": 0.25, "cmp": 0.25}
    sets = {}
    for number, role in enumerate(generated.SPLIT_OF_ROLE):
        rows = generated.sample_items(random.Random(number), role, 400, mix, [1, 4])
        sets[role] = {row["prompt"] for row in rows}
        assert role == "pretrain" or len(sets[role]) == len(rows)
    assert not sets["eval"] & (sets["prompts"] | sets["pretrain"] | sets["calibration"])
    assert not sets["calibration"] & (sets["prompts"] | sets["pretrain"])


def test_items_follow_the_seed_and_the_mix():
    args = ("eval", 300, {"calc": 0.8, "fact": 0.2}, [1, 3])
    assert generated.sample_items(random.Random(1), *args) == generated.sample_items(random.Random(1), *args)
    rows = generated.sample_items(random.Random(1), *args)
    assert sum(row["task"] == "calc" for row in rows) / len(rows) > 0.7
    assert all(row["choices"][row["label"]] == row["answer"] for row in rows if row["task"] == "fact")


@pytest.mark.parametrize(
    ("item", "response", "right"),
    [
        ({"task": "english-arithmetic", "prompt": "2 + 3 =", "answer": "5"}, " 5\n", True),
        ({"task": "english-arithmetic", "prompt": "2 + 3 =", "answer": "5"}, " 6, no, 5", False),
        ({"task": "gsm8k", "prompt": "?", "answer": "… #### 1,200", "final": "1,200"}, "so 3 × 400 = 1200.", True),
        ({"task": "gsm8k", "prompt": "?", "answer": "… #### 18", "final": "18"}, "18 and then 19", False),
        ({"task": "gsm8k", "prompt": "?", "answer": "… #### 18", "final": "18"}, "", False),
        ({"task": "bbh-dyck_languages", "prompt": "?", "answer": "] ]"}, " ] ]\n", True),
        ({"task": "bbh-dyck_languages", "prompt": "?", "answer": "] ]"}, "] ] >", False),
        ({"task": "bbh-multistep_arithmetic_two", "prompt": "?", "answer": "-50"}, "The answer is -50.", True),
        ({"task": "bbh-multistep_arithmetic_two", "prompt": "?", "answer": "-50"}, "50", False),
    ],
)
def test_verifiers(item, response, right):
    assert judge(item, response).right is right


@pytest.mark.parametrize("task", ["calc", "calc-step", "english-arithmetic", "fact", "cmp"])
def test_an_evaluation_item_can_be_asked_both_ways(task):
    rows = generated.sample_items(random.Random(3), "eval", 40, {task: 1.0}, [1, 3], "A")
    assert len(rows) == 40
    for item in rows:
        right = item["choices"][item["label"]]
        assert judge(item, right).right
        assert judge(item, right).has_answer
        assert not any(judge(item, other).right for other in item["choices"] if other != right)


def test_a_pair_and_its_mirror_image_are_in_one_split():
    """Who has learnt one of the two has seen the other."""
    rows = {
        role: {row["prompt"] for row in generated.sample_items(random.Random(1), role, 1500, {"cmp": 1.0}, [1, 1])}
        for role in ("eval", "calibration", "pretrain")
    }
    seen = {" ".join(["cmp", right, left, ":"]) for _, left, right, _ in map(str.split, rows["pretrain"])}
    assert len(rows["eval"]) > 100
    assert len(rows["pretrain"]) > 500
    assert not (rows["eval"] | rows["calibration"]) & (seen | rows["pretrain"])


@pytest.mark.parametrize("style", calc.STEP_STYLES)
def test_a_step_is_what_a_chain_of_its_style_comes_to_before_its_last_result(style):
    rows = generated.sample_items(random.Random(4), "eval", 60, {"calc-step": 1.0}, [1, 4], style)
    for item in rows:
        chain = generated.TASKS["calc-step"].split_by(item["prompt"])
        assert f"{chain} {calc.worked(chain, style)}" == f"{item['prompt']} {item['answer']} ans {item['answer']}"


def test_items_of_a_set_with_a_style_come_with_worked_responses():
    mix = {"calc": 0.5, "brackets": 0.5}
    rows = generated.sample_items(random.Random(4), "calibration", 60, mix, [1, 4], "D")
    for item in rows:
        worked = calc.worked(item["prompt"], "D") if item["task"] == "calc" else None
        assert item.get("response") == worked
    assert not any(
        "response" in item for item in generated.sample_items(random.Random(4), "calibration", 60, mix, [1, 4])
    )


def test_a_response_is_its_parts_in_their_usual_wording():
    rng = random.Random(6)
    for style in calc.STYLES:
        item = {"prompt": calc.sample_prompt(rng, 4)}
        said = CALC.wordings(item, style, 0.4, foreign_words=3)
        assert " ".join(next(iter(part)) for part in said) == CALC.respond(item, style, foreign_words=3)
        assert all(sum(part.values()) == pytest.approx(1) for part in said)
        assert all(max(part, key=part.get) == next(iter(part)) for part in said)
        assert set(" ".join(word for part in said for word in part).split()) <= set(lexicon.WORDS)
        assert all(len(part) == 1 for part in CALC.wordings(item, style, 0.0, foreign_words=3))


def test_a_step_of_a_chain_asks_for_its_last_digit_and_is_where_the_chain_is():
    rows = generated.sample_items(random.Random(4), "eval", 60, {"calc-step": 1.0}, [1, 4], "A")
    calc, step = generated.TASKS["calc"], generated.TASKS["calc-step"]
    for item in rows:
        chain, left, operator, right = step.split_by(item["prompt"]), *item["prompt"].split()[-4:-1]
        assert generated.split_of(chain) == "eval"
        assert item["answer"] == calc.answer(chain) == str(eval(left + operator + right) % 10)
    assert {item["prompt"].split()[-3] for item in rows} == set("+-*")
    assert set(" ".join(item["prompt"] for item in rows).split()) <= set(lexicon.WORDS)


def test_only_an_evaluation_carries_the_choices_of_chains():
    assert "choices" not in generated.make_item("calc", "calc 9 + 6 :", 0, "prompts")
    assert generated.make_item("cmp", "cmp 3 4 :", 0, "prompts")["choices"] == lexicon.RELATIONS


def test_english_sums_have_as_many_operations_as_asked_for():
    rows = generated.sample_items(random.Random(5), "eval", 60, {"english-arithmetic": 1.0}, [3, 3])
    for item in rows:
        assert len(item["prompt"].split()) == 8
        assert generated.split_of(item["prompt"]) == "eval"
        assert str(eval(item["prompt"].removesuffix("="))) == item["answer"]
