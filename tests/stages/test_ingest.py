"""Ingestion of benchmark files: what an item holds of a row, what is drawn, and which rows are refused."""

import json
import random
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from orchard import jsonl
from orchard.errors import UserError
from orchard.stages import ingest
from orchard.study.schema.data import Ingest
from orchard.tasks import benchmarks, generated
from tests.helpers.judging import judge
from tests.helpers.messages import assert_one_message
from tests.helpers.problems import PROBLEMS
from tests.helpers.sandboxes import needs_bubblewrap


def ingested(path: Path, form: str, seed: int = 1, **draw) -> list[dict]:
    """The items of a file or folder."""
    return ingest.ingest(Ingest(role="eval", path=str(path), format=form, seed=seed, **draw))


def write_rows(file: Path, rows: list[dict]) -> Path:
    jsonl.write(file, rows)
    return file


def gsm8k_rows(count: int) -> list[dict]:
    return [
        {"question": f"What is {n} + 1?", "answer": f"It is {n}+1=<<{n}+1={n + 1}>>{n + 1}.\n#### {n + 1}"}
        for n in range(count)
    ]


def blimp_rows(name: str, count: int) -> list[dict]:
    return [
        {"sentence_good": f"Good {name} {n}.", "sentence_bad": f"Bad {name} {n}.", "UID": name} for n in range(count)
    ]


def test_gsm8k_item_holds_question_reference_and_final_number(tmp_path):
    (item,) = ingested(write_rows(tmp_path / "test.jsonl", gsm8k_rows(1)), "gsm8k")
    assert item == {
        "id": "gsm8k-test-00001",
        "task": "gsm8k",
        "prompt": "Question: What is 0 + 1?\nAnswer:",
        "answer": "It is 0+1=<<0+1=1>>1.\n#### 1",
        "final": "1",
    }


def test_a_problem_of_math_holds_solution_and_final_answer(tmp_path):
    solved = {
        "problem": "What is $1/2 + 1/2$?",
        "solution": "It is $\\boxed{\\frac{2}{2}}$.",
        "answer": "1",
        "level": 2,
    }
    rows = [solved, {"question": "And $2 + 2$?", "answer": "4"}, {"problem": "And?", "solution": solved["solution"]}]
    file = write_rows(tmp_path / "test.jsonl", rows)
    first, second, third = ingested(file, "math")
    assert first == {
        "id": "math-test-00001",
        "task": "math",
        "prompt": "Problem: What is $1/2 + 1/2$?\n"
        "Reason step by step, and put the final answer in \\boxed{}.\nSolution:",
        "answer": "It is $\\boxed{\\frac{2}{2}}$.",
        "final": "1",
    }
    assert (second["answer"], second["final"], third["final"]) == ("\\boxed{4}", "4", "\\frac{2}{2}")
    assert all(judge(item, item["answer"]).right for item in (first, second, third))
    assert not judge(first, second["answer"]).right


def test_limit_draws_without_replacement_in_file_order_and_by_seed(tmp_path):
    file = write_rows(tmp_path / "train.jsonl", gsm8k_rows(100))
    everything = ingested(file, "gsm8k")
    drawn = ingested(file, "gsm8k", limit=20)
    ids = [item["id"] for item in drawn]
    assert len(everything) == 100
    assert ids == sorted(set(ids))
    assert len(ids) == 20
    assert all(item in everything for item in drawn)
    assert drawn == ingested(file, "gsm8k", limit=20)
    assert drawn != ingested(file, "gsm8k", limit=20, seed=2)
    assert ids != [item["id"] for item in everything[:20]]


def test_sets_of_one_draw_share_no_row_and_leave_none_out(tmp_path):
    file = write_rows(tmp_path / "train.jsonl", gsm8k_rows(30))
    parts = [ingested(file, "gsm8k", limit=limit, offset=offset) for offset, limit in ((0, 12), (12, 10), (22, None))]
    ids = [item["id"] for part in parts for item in part]
    assert sorted(ids) == [item["id"] for item in ingested(file, "gsm8k")]
    assert [len(part) for part in parts] == [12, 10, 8]
    with pytest.raises(UserError, match="no row is left"):
        ingested(file, "gsm8k", offset=30)


def test_folder_gives_limit_rows_of_each_file_in_the_order_of_names(tmp_path):
    for name in ("b", "a"):
        write_rows(tmp_path / f"{name}.jsonl", blimp_rows(name, 9))
    (tmp_path / "LICENSE").write_text("not data")
    paradigms = [item["paradigm"] for item in ingested(tmp_path, "blimp", limit=4)]
    assert paradigms == ["a"] * 4 + ["b"] * 4


def test_position_of_the_good_sentence_says_nothing(tmp_path):
    pairs = ingested(write_rows(tmp_path / "p.jsonl", blimp_rows("p", 1000)), "blimp")
    assert all(item["choices"][item["label"]] == item["answer"] == f"Good p {n}." for n, item in enumerate(pairs))
    assert all(sorted(item["choices"])[0].startswith("Bad") for item in pairs)
    assert 430 < sum(item["label"] for item in pairs) < 570  # 4.4 standard deviations


@pytest.mark.parametrize(
    ("name", "question", "target", "choices"),
    [
        ("dates", "Which day?\nOptions:\n(A) 1/1 (or so)\n(B) 2/2", "(B)", ["(A)", "(B)"]),
        ("navigate", "Do you return?\nOptions:\n- Yes\n- No", "No", ["Yes", "No"]),
        ("sports_understanding", 'Is it plausible? "He ran."', "no", ["yes", "no"]),
        ("dyck_languages", "Close it. Input: [ (", ") ]", None),
        ("multistep_arithmetic_two", "((-1 + 2) - (3)) =", "-2", None),
    ],
)
def test_big_bench_hard_is_choice_or_generation(tmp_path, name, question, target, choices):
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps({"canary": "…", "examples": [{"input": question, "target": target}]}))
    (item,) = ingested(file, "bbh")
    assert (item["task"], item["answer"], item.get("choices")) == (f"bbh-{name}", target, choices)
    assert choices is None or choices[item["label"]] == target


def test_item_rows_pass_unchanged(tmp_path):
    rows = generated.sample_items(random.Random(1), "eval", 10, {"cmp": 1.0}, [1, 1])
    assert ingested(write_rows(tmp_path / "own.jsonl", rows), "jsonl") == rows


@pytest.mark.parametrize(
    ("form", "line", "message"),
    [
        ("gsm8k", '{"question": "1 + 1?", "ans', "line 2"),
        ("gsm8k", '{"question": "1 + 1?"}', "line 2: no field 'answer'"),
        ("gsm8k", '{"question": "1 + 1?", "answer": "2"}', "line 2: the answer has no final number"),
        ("gsm8k", '{"question": null, "answer": "#### 2"}', "line 2: field 'question' is None"),
        ("gsm8k", "[1, 2]", "line 2"),
        ("blimp", '{"sentence_good": "A.", "UID": "x"}', "line 2: no field 'sentence_bad'"),
        ("math", '{"answer": "2"}', "line 2: no field 'question'"),
        ("math", '{"problem": "1 + 1?"}', "line 2: no field 'solution'"),
        ("math", '{"problem": "1 + 1?", "solution": "It is 2."}', "line 2: there is no field 'answer'"),
        ("math", '{"problem": "1 + 1?", "answer": true}', "line 2: field 'answer' is True"),
        ("jsonl", '{"id": "a", "task": "t", "prompt": "p"}', "line 2: no field 'answer'"),
        ("jsonl", '{"id": "a", "task": "gym-dice", "prompt": "p", "answer": "x"}', "line 2: task 'gym-dice'"),
        (
            "jsonl",
            '{"id": "a", "task": "t", "prompt": "p", "answer": "x", "choices": ["x"], "label": 1}',
            "line 2: label 1",
        ),
        ("jsonl", '{"id": "a", "task": "t", "prompt": "p", "answer": "x", "choices": ["x"]}', "come together"),
        ("jsonl", '{"id": "one", "task": "t", "prompt": "p", "answer": "x"}', "one comes twice"),
    ],
)
def test_broken_row_is_named(tmp_path, form, line, message):
    good = {
        "gsm8k": gsm8k_rows(1)[0],
        "math": {"problem": "1 + 1?", "answer": "2"},
        "blimp": blimp_rows("x", 1)[0],
        "jsonl": {"id": "one", "task": "t", "prompt": "p", "answer": "a"},
    }[form]
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(good) + "\n" + line)
    with pytest.raises(UserError) as error:
        ingested(file, form)
    assert message in str(error.value)
    assert "rows.jsonl" in str(error.value)


@pytest.mark.parametrize("text", ['{"examples": [{"input": "a", "tar', '{"rows": []}', "[]"])
def test_broken_big_bench_hard_file_is_named(tmp_path, text):
    (tmp_path / "navigate.json").write_text(text)
    with pytest.raises(UserError, match=r"navigate\.json"):
        ingested(tmp_path, "bbh")


def test_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        ingested(tmp_path / "nowhere", "gsm8k")


def test_of_a_draw_no_more_is_taken_than_random_sample_gives():
    for count, offset, limit in ((1, 0, None), (30, 4, 7), (5000, 100, 50), (5000, 0, None), (40, 39, 5)):
        shuffled = random.Random("1 x").sample(range(count), count)
        assert benchmarks.drawn(count, offset, limit, "1 x") == sorted(shuffled[offset:][:limit])


def test_rows_are_drawn_of_those_that_count(tmp_path):
    rows = [row | {"kind": "odd" if n % 2 else "even", "n": n} for n, row in enumerate(gsm8k_rows(30))]
    file = write_rows(tmp_path / "train.jsonl", rows)
    odd = ingested(file, "gsm8k", where={"kind": "odd"})
    assert [item["final"] for item in odd] == [str(n + 1) for n in range(1, 30, 2)]
    parts = [ingested(file, "gsm8k", where={"kind": "odd"}, limit=8, offset=offset) for offset in (0, 8)]
    assert sorted(item["id"] for part in parts for item in part) == [item["id"] for item in odd]
    assert len(ingested(file, "gsm8k", where={"kind": ["odd", "even"], "n": {"at_least": 3, "at_most": 6}})) == 4
    for where, message in (({"kind": "Odd"}, "no row fits"), ({"knd": "odd"}, "did you mean 'kind'")):
        with pytest.raises(UserError, match=message):
            ingested(file, "gsm8k", where=where)


def test_rows_come_from_parquet_as_from_jsonl(tmp_path):
    rows = gsm8k_rows(30)
    expected = ingested(write_rows(tmp_path / "train.jsonl", rows), "gsm8k", limit=7)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet", row_group_size=4)
    found = ingested(tmp_path / "train.parquet", "gsm8k")
    assert len(found) == 30
    assert all(item in found for item in expected)
    (tmp_path / "train.jsonl").unlink()
    assert ingested(tmp_path, "gsm8k") == found


def test_rows_are_mapped_by_columns(tmp_path):
    rows = [{"q": f"{n} + 1?", "info": json.dumps({"truth": n + 1}), "kind": "math"} for n in range(3)]
    file = write_rows(tmp_path / "own.jsonl", [*rows, {"q": "?", "info": "{}", "kind": "other"}])
    how = {"columns": {"prompt": "q", "answer": "info.truth"}, "task": "math"}
    items = ingested(file, "columns", where={"kind": "math"}, **how)
    expected = [(f"columns-own-0000{n}", str(n)) for n in (1, 2, 3)]
    assert [(item["id"], item["answer"]) for item in items] == expected
    with pytest.raises(UserError) as error:
        ingested(file, "columns", **how)
    assert_one_message(str(error.value), ["own.jsonl, line 4", "info.truth", "leave_out: [columns-own-00004]"])
    assert ingested(file, "columns", leave_out=["columns-own-00004"], **how) == items
    with pytest.raises(UserError, match="no row that is drawn"):
        ingested(file, "columns", where={"kind": "math"}, leave_out=["columns-own-00004"], **how)


def test_all_broken_rows_are_named_at_once(tmp_path):
    rows = [{"question": f"{n}?"} if n % 2 else gsm8k_rows(1)[0] for n in range(60)]
    with pytest.raises(UserError) as error:
        ingested(write_rows(tmp_path / "test.jsonl", rows), "gsm8k")
    assert_one_message(str(error.value), ["line 2: no field 'answer'", "line 40", "and 10 more"])


@needs_bubblewrap
def test_an_item_whose_own_answer_fails_is_refused_by_name(tmp_path):
    good, other = PROBLEMS[:2]
    wrong = [other | {"canonical_solution": "    return None\n"}, good | {"canonical_solution": "    return nothing\n"}]
    file = write_rows(tmp_path / "test.jsonl", [good, *wrong])
    with pytest.raises(UserError) as error:
        ingested(file, "humaneval")
    expected = ["2 of 3 items", "humaneval-test-00002 (wrong answer)", "humaneval-test-00003 (NameError)"]
    assert_one_message(str(error.value), [*expected, "leave_out: [humaneval-test-00002, humaneval-test-00003]"])
    left = ingested(file, "humaneval", leave_out=["humaneval-test-00002", "humaneval-test-00003"])
    assert [item["id"] for item in left] == ["humaneval-test-00001"]


def test_a_puzzle_whose_own_answer_fails_is_refused_by_name(tmp_path):
    puzzle = {"row_sums": [1], "col_sums": [1]}
    item = {"id": "a", "task": "synlogic-kukurasu", "prompt": "?", "answer": '[["1"]]', "puzzle": puzzle}
    rows = [item, item | {"id": "b", "answer": '[["X"]]'}]
    with pytest.raises(UserError, match=r"1 of 2 items whose own answer is not right: b"):
        ingested(write_rows(tmp_path / "own.jsonl", rows), "jsonl")
    assert ingested(tmp_path / "own.jsonl", "jsonl", leave_out=["b"]) == [item]
