"""Programming problems in the formats of HumanEval and MBPP: what is asked, what of a response is code, what to run.

A response is read in two ways. Strictly, it goes on where the prompt ends, as a base model does. Flexibly, it may be
prose with a fenced block of code, or a whole function, as a chat model writes it; that is the usual reading.
"""

import keyword
import re

from orchard.errors import UserError
from orchard.sandbox import sandbox
from orchard.tasks.fields import text
from orchard.tasks.task import BALANCED, BROKEN, CUT_OFF, UNBALANCED, Judgement, Task

NAME = "program"
FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
AFTER = re.compile(r"^(?=\S)(?!def |class |@|import |from |#|[A-Za-z_]\w*\s*=)", re.MULTILINE)  # prose or calls below
LIMITS = sandbox.Limits(seconds=60, cpu_seconds=10)  # ours: no problem needs seconds, and a busy machine is no mistake


class Program(Task):
    """A function that passes the problem's tests, in the sandbox. What is wrong with another one Python itself says."""

    def judge(self, item: dict, response: str, ended: bool = True, unsafe: bool = False) -> Judgement:
        """Runs the response with its item's tests, once in each reading that differs.

        Raises:
            UserError: there is no sandbox here, and a program may not run without one; or the item tests what cannot
                be the name of a function.
        """
        _require_name(item)
        tests = tests_of(item)
        flexible, strict = (code_of(item, response, is_strict) for is_strict in (False, True))
        error = sandbox.run(flexible, tests, LIMITS, unsafe).error
        strict_error = error if strict == flexible else sandbox.run(strict, tests, LIMITS, unsafe).error
        return Judgement(
            right=error is None,
            strict=strict_error is None,
            score=float(error is None),
            has_answer=self.has_answer(item, response),
            brackets=BROKEN if error == UNBALANCED else BALANCED,  # its strings and comments may hold any bracket
            error=error if ended or error is None else CUT_OFF,
        )


def tests_of(item: dict) -> sandbox.Suite:
    """What a program for an item is to pass. What the prompt defines the tests use as the prompt has it."""
    beginning = item["prompt"] if item["begun"] else ""
    return sandbox.Suite(item["test"], item["entry_point"], beginning, beginning + item["answer"])


def is_name(text: str) -> bool:
    """Whether a function can be called so."""
    return text.isidentifier() and not keyword.iskeyword(text)


def _require_name(item: dict) -> None:
    if not is_name(item["entry_point"]):
        raise UserError(
            found=f"item {item['id']!r}: `entry_point` is {item['entry_point'][:80]!r}",
            rule="it is the name of a Python function or class",
            why="what has no name is not defined by any program, and is never tested",
            fix="correct the row in the file that it comes from",
        )


def code_of(item: dict, response: str, is_strict: bool = False) -> str:
    """The program without its tests.

    Args:
        item: of one of the two formats.
        response: what the model wrote after the prompt.
        is_strict: take it as it is.
    """
    if not is_strict:
        blocks = FENCE.findall(response)
        holding = [block for block in blocks if f"def {item['entry_point']}" in block]
        response = (holding or blocks or [response])[0]
        if re.search(rf"^def {item['entry_point']}\b", response, re.MULTILINE):
            return response  # a whole function, which needs no beginning
        if item["begun"]:
            response = _body_alone(response)
    return item["prompt"] + response if item["begun"] else response


def _body_alone(response: str) -> str:
    """The rest of a function that the prompt began: up to the first line that is not indented and defines nothing."""
    end = AFTER.search(response)
    return response[: end.start()] if end and end.start() else response


def from_humaneval(row: dict, name: str, number: int) -> dict:
    """An item of a row of HumanEval's file (arXiv 2107.03374): the prompt is the beginning of the function."""
    for key in ("prompt", "canonical_solution", "test", "entry_point"):
        text(row, key)
    return {
        "id": f"humaneval-{name}-{number:05d}",
        "task": NAME,
        "prompt": row["prompt"],
        "answer": row["canonical_solution"],
        "entry_point": row["entry_point"],
        "test": f"{row['test']}\ncheck({row['entry_point']})\n",
        "begun": True,
    }


def from_mbpp(row: dict, name: str, number: int) -> dict:
    """An item of a row of MBPP's file (arXiv 2108.07732): the prompt is the task in words, with its tests."""
    for key in ("text", "code"):
        text(row, key)
    if not isinstance(row["test_list"], list) or not all(isinstance(each, str) for each in row["test_list"]):
        raise ValueError(f"field 'test_list' is {row['test_list']!r}, not a list of text")
    tests = "\n".join(row["test_list"])
    called = re.search(r"^assert\s+(?:\w+\()*(\w+)\(", row["test_list"][0])
    return {
        "id": f"mbpp-{name}-{number:05d}",
        "task": NAME,
        "prompt": f'"""\n{row["text"]}\n{tests}\n"""\n',
        "answer": row["code"],
        "entry_point": called[1] if called else re.search(r"^def (\w+)", row["code"], re.MULTILINE)[1],
        "test": "\n".join(filter(None, [row.get("test_setup_code"), tests])) + "\n",
        "begun": False,
    }


TASKS = {NAME: Program()}
