"""Programming problems in the formats of HumanEval and MBPP: what is asked, what of a response is code, what to run.

A response is read in two ways. Strictly, it goes on where the prompt ends, as a base model does. Flexibly, it may be
prose with a fenced block of code, or a whole function, as a chat model writes it; that is the usual reading.
"""

import keyword
import re

from pydantic import Field

from orchard.errors import UserError
from orchard.sandbox import sandbox
from orchard.tasks import extraction, fields
from orchard.tasks.task import BALANCED, BROKEN, CUT_OFF, UNBALANCED, Judgement, Task

NAME = "program"
LIMITS = sandbox.Limits(seconds=60, cpu_seconds=10)  # ours: no problem needs seconds, and a busy machine is no mistake


class Program(Task):
    """A function that passes the problem's tests, in the sandbox. What is wrong with another one Python itself says."""

    tries_answers = True

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
    prompt = item["prompt"] if item["begun"] else ""
    return prompt + response if is_strict else extraction.program_of(prompt, item["entry_point"], response)


class HumanEvalRow(fields.Row):
    """A row of HumanEval's or HumanEval+'s file."""

    prompt: fields.Text
    canonical_solution: fields.Text
    test: fields.Text
    entry_point: fields.Text


def from_humaneval(row: dict, name: str, number: int, form: str = "humaneval") -> dict:
    """An item of a row of HumanEval's file (arXiv 2107.03374): the prompt is the beginning of the function."""
    given = fields.read(HumanEvalRow, row)
    return {
        "id": f"{form}-{name}-{number:05d}",
        "task": NAME,
        "prompt": given.prompt,
        "answer": given.canonical_solution,
        "entry_point": given.entry_point,
        "test": f"{given.test}\ncheck({given.entry_point})\n",
        "begun": True,
    }


def from_humanevalplus(row: dict, name: str, number: int) -> dict:
    """An item of a row of HumanEval+'s file (arXiv 2305.01210): as HumanEval's, with more tests, which need numpy."""
    return from_humaneval(row, name, number, "humanevalplus")


class MbppRow(fields.Row):
    """A row of MBPP's file."""

    text: fields.Text
    code: fields.Text
    test_list: list[fields.Text]
    test_setup_code: fields.MaybeEmpty | None = None


def from_mbpp(row: dict, name: str, number: int) -> dict:
    """An item of a row of MBPP's file (arXiv 2108.07732): the prompt is the task in words, with its tests."""
    given = fields.read(MbppRow, row)
    if not given.test_list:
        raise ValueError("field 'test_list' is empty: any program would pass")
    tests = "\n".join(given.test_list)
    return {
        "id": f"mbpp-{name}-{number:05d}",
        "task": NAME,
        "prompt": f'"""\n{given.text}\n{tests}\n"""\n',
        "answer": given.code,
        "entry_point": tested(given.code, given.test_list[0]),
        "test": "\n".join(filter(None, [given.test_setup_code, tests])) + "\n",
        "begun": False,
    }


class MbppPlusRow(fields.Row):
    """A row of MBPP+'s file."""

    prompt: fields.Text
    code: fields.Text
    test_imports: list[fields.Text] = Field(default_factory=list)
    test_list: list[fields.Text]
    test: fields.Text


def from_mbppplus(row: dict, name: str, number: int) -> dict:
    """An item of a row of MBPP+'s file (arXiv 2305.01210): its own tests run behind MBPP's.

    The prompt is EvalPlus's: the task in words and the first of MBPP's tests, which names the function.
    """
    given = fields.read(MbppPlusRow, row)
    if not given.test_list:
        raise ValueError("field 'test_list' is empty: nothing names the function")
    tests = [*given.test_imports, *given.test_list, given.test]
    return {
        "id": f"mbppplus-{name}-{number:05d}",
        "task": NAME,
        "prompt": f'"""\n{given.prompt}\n{given.test_list[0]}\n"""\n',
        "answer": given.code,
        "entry_point": tested(given.code, given.test_list[0]),
        "test": "\n".join(tests) + "\n",
        "begun": False,
    }


def first_called(tests: str) -> str | None:
    """The function that the first test calls, or that is called within calls of others: ``assert set(f(1)) == …``."""
    called = re.search(r"^\s*assert\s+(?:\w+\()*(\w+)\(", tests, re.MULTILINE)
    return called[1] if called else None


def tested(code: str, test: str) -> str:
    """The name of what a test tests.

    Args:
        code: a right program.
        test: the first of its tests.

    Raises:
        ValueError: the test calls nothing, and the program defines nothing.
    """
    defined = re.findall(r"^(?:async )?(?:def|class) +(\w+)", code, re.MULTILINE)
    called = first_called(test)
    if called in defined:
        return called
    if named := [name for name in defined if re.search(rf"\b{name}\(", test)]:
        return named[0]
    if not (name := called or next(iter(defined), None)):
        raise ValueError("neither the first test calls a function, nor does the code define one")
    return name


TASKS = {NAME: Program()}
