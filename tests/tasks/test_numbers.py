"""Answers that are numbers, in free text and behind GSM8K's mark: which number a response gives."""

from fractions import Fraction

import pytest

from orchard.tasks import quantities
from tests.helpers.judging import judge

RESPONSES = [
    ("1234", "The total is $1,234.00", True),
    ("1234", "It comes to 1,234.", True),
    ("18", "She makes $18.00 every day", True),
    ("72", "The answer is 72 dollars.", True),
    ("-5", "The change is −5 degrees.", True),
    ("5", "The change is −5 degrees.", False),
    ("0.5", "Half of it, so 0.5", True),
    ("0.5", "The answer is .5", True),
    ("1000", "That is 1e3 grams", True),
    ("3", "That is 1e3 grams", False),
    ("50", "The answer is 50 %.", True),
    ("10", "ten", True),
    ("7", "10-3=7", True),
    ("7", "The answer is 7 (since 10-3 is 7)", True),
    ("18", "Answer: -18", False),
    ("18", "- 18", True),
    ("5", "٥", True),
    ("42", "４２", True),
    ("1234", "1\u202f234", True),
    ("1234567", "1,234,567 people", True),
    ("18", "The final answer is 18.\n\nNote: I checked this 2 times.", True),
    ("18", "**18**", True),
    ("18", "$\\boxed{18}$ eggs in 7 days", True),
    ("0.75", "3/4 cup", True),
    ("1.5", "1 1/2", True),
    ("2", "1 1/2", False),
    ("9007199254740993", "9007199254740992", False),
    ("18", "", False),
    ("70000", "profit of $70k", True),
    ("2000000", "2 million", True),
    ("1", "1st", True),
    ("18", "x = 18", True),
    ("18", "18/1", True),
    ("5", "5:00 pm", True),
    ("27", "27 m²", True),
    ("27", "27 m^2", True),
    ("20", "20.0", True),
    ("20", "20.", True),
    ("26", "10 + 16 = 26,", True),
    ("26", "26, 27", False),
    ("1.25", "$1.25.", True),
    ("1.25", "1,25", True),
    ("5", "5 - 0", True),
    ("18", "####18", True),
    ("18", "so\n#### 18\n\nQuestion: Two?\nAnswer: 2\n#### 2", True),
    ("18", "16-3=13 #### 18 and then 5 more #### 7", True),
    ("18", "#### **18**", True),
    ("18", "#### $18", True),
    ("18", "### Step 1: add\n#### 1. Add things\nso 18", True),
    ("1", "#### 1. Add things\nso 18", False),
    ("12", "1,2", False),
    ("1.2", "1,2", True),
    ("3", "1/3", False),
    ("0.333", "1/3", False),
    ("9007199254740993", "#### 9,007,199,254,740,993", True),
    ("9007199254740993", "9007199254740993.0", True),
    ("0.1", "0.10000000000000000001", False),
    ("1234567", "1.234.567", False),
    ("18", "18 / 3 = 6", False),
    ("6", "18 / 3 = 6 cakes", True),
    ("12", "from 10 to 12", True),
    ("18", "The answer is $18 (i.e. 9 * 2).", True),
    ("14", "The answer is 18 eggs minus 4 eggs = 14 eggs.", True),
    ("5", "1 + 4", True),
    ("10", "twenty minus ten", True),
    ("25", "She has twenty-five eggs.", True),
    ("1", "No one knows", False),
    ("1", "One", True),
    ("70000", "$70,000.00", True),
    ("70000", "70K", True),
    ("1500000", "1.5 million dollars", True),
    ("2", "2 million", False),
    ("0.5", "50%", True),
    ("50", "50 percent", True),
    ("5", "−5", False),
    ("-5", "– 5", False),
    ("-5", "x = - 5", True),
    ("-5", "-$5", True),
    ("-5", "$-5", True),
    ("-3", "\\boxed{-3}", True),
    ("18", "\\boxed{}", False),
    ("18", "It is 18.\nPut it into \\boxed{}.", True),
    ("18", "\\(18\\)", True),
    ("18", "$18$", True),
    ("18", "$$18$$", True),
    ("18", "\\[ 18 \\]", True),
    ("18", "\\text{18 eggs}", True),
    ("0.5", "½", True),
    ("1.5", "1½", True),
    ("1.5", "1\\frac{1}{2}", True),
    ("0.75", "\\frac{3}{4}", True),
    ("0.75", "\\dfrac34 cup", True),
    ("1000", "10^3", True),
    ("1000", "1 × 10^3", True),
    ("1000", "1e+3", True),
    ("0.001", "1e-3", True),
    ("18", "18 eggs.\n\nNote: 3 of them are broken.", True),
    ("18", "18\n\n**Note:** 2 days", True),
    ("1234", "1 234", False),
    ("234", "1 234", True),
    ("1234", "1'234", True),
    ("1234", "1{,}234", True),
    ("1234", "1\\,234", True),
    ("27", "27 cm^{2}", True),
    ("27", "27 \\text{ cm}^2", True),
    ("27", "27 m3", True),
    ("27", "27 CO2", True),
    ("27", "27 sq. ft.", True),
    ("5", "5:00", True),
    ("5.5", "5:30 pm", True),
    ("18", "x=18", True),
    ("18", "=18", True),
    ("18", "Answer:18", True),
    ("18", "**Answer:** 18", True),
    ("18", "**Answer: 18**", True),
    ("18", "The answer is: **18**", True),
    ("18", "The final answer is $\\boxed{18}$.", True),
    ("18", "answer: \\$18", True),
    ("3", "Therefore, 3.", True),
    ("3", "3!", True),
    ("1.25", "$1.25.", True),
    ("100", "100th", True),
    ("18", "18-year-old", True),
    ("18", "COVID-18", True),
    ("-18", "COVID-18", False),
    ("18", "(18)", True),
    ("18", "[18]", True),
    ("18", "{18}", True),
    ("18", "<18>", True),
    ("18", "18;", True),
    ("18", "1٬800", False),
    ("1800", "١٬٨٠٠", True),
    ("18", "eighteen", True),
    ("18", "答案是18元。", True),
    ("18", "18=9*2", True),
    ("1e3", "1000", True),
    ("$18", "18", True),
    ("50%", "50", True),
    ("1/2", "0.5", True),
    ("18", "18 == 18", True),
    ("20", "20,", True),
    ("20", "20.", True),
    ("20", "$20.00", True),
    ("20", "20.00 dollars per 3 days", False),
    ("1000000", "1,000,000", True),
    ("1000000", "10,00,000", True),
    ("26", "26; 27", False),
    ("26", "(26, 27)", False),
    ("5", "5 - 0", True),
    ("18", "Step 1: 9\nStep 2: 18", True),
    ("0", "0", True),
    ("0", "-0", True),
    ("0", "$0", True),
    ("4", "2 + 2", True),
    ("4", "2+2=4", True),
    ("7", "7 eggs (since 10 - 3 = 8)", False),
    ("18", "<<9*2=18>>18", True),
    ("1.5", "1 and 1/2", True),
    ("3", "2 1/2, no: 3", True),
    ("18", "#### 18 eggs in 7 days", True),
]
STRICT = [
    ("1234", "so #### 1,234", True),
    ("18", "#### 18.", True),
    ("18", "####18", True),
    ("-5", "#### -5", True),
    ("18", "#### 18\nQuestion: 2+2\n#### 4", True),
    ("18", "18", False),
    ("18", "#### 18 eggs", True),
    ("0.5", "#### .5", True),
    ("18", "#### **18**", False),
    ("18", "####  18", True),
    ("18", "#### 18 and\n#### 4", True),
    ("4", "#### 18 and\n#### 4", False),
    ("12", "#### 1,2", False),
    ("1000", "#### 1e3", True),
    ("1", "#### 1/2", False),
    ("0.5", "#### 1/2", True),
    ("-5", "#### −5", True),
    ("9007199254740993", "#### 9007199254740992", False),
    ("1", "#### 1. Add\n#### 18", False),
    ("18", "#### 1. Add\n#### 18", True),
]
ROWS = {  # the same item with its optional fields missing, null and there: one verdict
    "the final answer alone": {"answer": "18"},
    "no final answer beside it": {"answer": "18", "final": None, "choices": None, "response": None},
    "work before it": {"answer": "9 * 2 = 18 of 20", "final": "18"},
}


def gsm8k(final: str) -> dict:
    return {"id": "1", "task": "gsm8k", "prompt": "?", "answer": f"… #### {final}", "final": final}


@pytest.mark.parametrize(("final", "response", "right"), RESPONSES)
def test_the_number_that_a_response_gives(final, response, right):
    judgement = judge(gsm8k(final), response)
    assert judgement.right is right
    assert judgement.score == float(right)


@pytest.mark.parametrize(("final", "response", "right"), STRICT)
def test_the_number_behind_the_mark(final, response, right):
    assert judge(gsm8k(final), response).strict is right


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("task", ["gsm8k", "own-sums"])
def test_missing_and_null_fields_give_one_verdict(task, row):
    item = {"id": "1", "task": task, "prompt": "?"} | row
    assert judge(item, "It is 18.").right
    assert not judge(item, "It is 20.").right


def test_heads_of_markdown_are_no_answers_of_other_tasks():
    item = {"id": "1", "task": "own-sums", "prompt": "?", "answer": "18"}
    assert judge(item, "#### 3 steps\nThat makes 18").right


def test_integers_are_compared_as_integers():
    for number in (2**53 + 1, 10**30 + 1):
        assert judge(gsm8k(str(number)), f"{number}").right
        assert judge(gsm8k(str(number)), f"{number:,}").right
        assert not judge(gsm8k(str(number)), f"{number - 1}").right


@pytest.mark.parametrize("number", [0, 7, 18, 1234, -3, 10**7, Fraction(1, 2), Fraction(-7, 4), Fraction(12345, 100)])
def test_the_many_ways_to_write_a_number_have_its_value(number):
    ways = [f"{float(number)}", f"{number}", f"${float(number):,.2f}", f"**{number}**", f"= {number}", f"{number} eggs"]
    ways += [f"\\boxed{{{number}}}", f"The answer is {number}.", f"#### {number}\nQuestion: 3?"]
    for way in ways:
        assert judge(gsm8k(str(number)), way).right, way


def test_a_percent_is_its_number_and_a_hundredth_of_it():
    assert quantities.last("50%") == {50, Fraction(1, 2)}
    assert quantities.last("50 per cent of") == {50, Fraction(1, 2)}
    assert quantities.last("1.5 million") == {1_500_000}
