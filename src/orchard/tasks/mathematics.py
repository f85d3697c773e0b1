r"""Problems in English and LaTeX whose final answer stands in a box, as in MATH (arXiv 2103.03874).

A response's answer is what stands in its last box (`orchard.tasks.boxes`), without any box its last line. Strictly, it
stands in ``\boxed{…}``. Answers are compared as Math-Verify reads them: that is the convention. In its reading

- ``50\%`` is 50 and 0.5; ``1,000`` is a thousand; ``1,2`` is a set of two; units, ``\text{…}`` behind a number and
  ``$`` do not count; a small letter is equal to a capital one; ``x=5`` answers what ``5`` does, ``y=5`` does not;
- a decimal number is equal to what it is rounded from, if it has six decimals: 0.333333 is a third, 0.333 is not.

Of our own, beside it:

- ``1e3``, a stop behind the answer, digits and minus signs of any script, and words around a number are read;
- ``i`` is the imaginary unit where it makes the two equal; "no solution", ``\varnothing`` and ``\emptyset`` are equal;
- an interval is equal to its inequality; numbers that both name their base, ``101_2``, are equal digit by digit;
- what Math-Verify takes for equal must be: exactly, or to five significant digits where a decimal number stands. It
  rounds small numbers to zero (1/2004! and 1/2006!, 0.0000001 and 0.0000002);
- without a box, a number may also stand as in any text (`orchard.tasks.text`).

A wrong answer that cannot be read at all, or not in time, is an error of its own: ``unreadable answer``.
"""

import functools
import itertools
import logging
import re
from dataclasses import replace

from orchard.errors import UserError
from orchard.sandbox.timeout import OutOfTimeError, time_limit
from orchard.tasks import fields, quantities
from orchard.tasks.boxes import last_box
from orchard.tasks.task import UNREADABLE, WRONG, Judgement, Task
from orchard.tasks.text import final_of, number_in

INSTRUCTION = "Reason step by step, and put the final answer in \\boxed{}."
LONGEST_ANSWER = 200  # characters: more than the answers of MATH have; longer ones take the parser seconds
SECONDS = 3  # of CPU time; ours: an answer takes hundredths
CLOSE, EXACT = 1e-5, 1e-60  # relative; ours: about Math-Verify's six decimals, and what 100 digits leave of zero

NOTHING = re.compile(r"(?:\\text ?\{)?no (?:real )?(?:solutions?|roots?)\}?|\\varnothing", re.IGNORECASE)
EXPONENT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d{1,4})(?!\w)")
BASED = re.compile(r"([0-9A-Za-z]+)_\{?(\d+)\}?")
WORDS = re.compile(
    r"(?:\\(?:text|mbox|mathrm|textbf) ?\{[^{}]*\}|(?<=\d)\s{1,3}(?:[ckm]?m|ft|in|yd|mi)(?=\s?\^))(?:\s?\^\{?\w+\}?)?"
)
TOO_LARGE = re.compile(r"\d{5,}[\s)}\]]{0,5}!")  # such a factorial is worked out in one step, which nothing interrupts


class Mathematics(Task):
    """The value of the last box counts, or without any that of the last line; strictly, it stands in a box."""

    def judge(self, item: dict, response: str, ended: bool = True, unsafe: bool = False) -> Judgement:
        judgement = super().judge(item, response, ended, unsafe)
        unread = judgement.error == WRONG and agrees(final_of(item), response) is None
        return replace(judgement, error=UNREADABLE) if unread else judgement

    def score(self, item: dict, response: str) -> float:
        return float(agrees(final_of(item), response) or False)

    def has_answer(self, item: dict, response: str) -> bool:
        return bool(answer_in(response))

    def is_strict(self, item: dict, response: str, right: bool) -> bool:
        return right and bool(re.search(r"\\boxed ?\{", response))


@functools.lru_cache(maxsize=1)  # a judgement asks twice for the same
def agrees(final: str, response: str) -> bool | None:
    """Whether a response gives a reference answer; None if its answer cannot be read, or not in time.

    Args:
        final: the final answer in LaTeX, without a box, or a solution with one.
        response: any text.

    Raises:
        UserError: Math-Verify does not work here.
    """
    library()
    try:
        with time_limit(SECONDS):
            return _agrees(last_box(final) or final, response)
    except (Exception, OutOfTimeError):  # parser and algebra fail in many ways on text that means nothing
        return None


def answer_in(response: str) -> str | None:
    """What a response answers: what stands in its last box, or without any its last line; None for an open box."""
    if box := last_box(response):
        return box
    return None if re.search(r"\\boxed\s?\{", response) else (response.strip().splitlines() or [None])[-1]


def _agrees(final: str, response: str) -> bool | None:
    given = answer_in(response)
    if not given:
        return False
    if not last_box(response) and not quantities.reference(final).isdisjoint(number_in(response)):
        return True
    if len(given) > LONGEST_ANSWER or TOO_LARGE.search(given):
        return None
    based = [BASED.fullmatch(part.strip().lower()) for part in (final, given)]
    if all(based):
        return based[0].groups() == based[1].groups()
    found = read(given, bool(last_box(response)))
    wordless = WORDS.sub(" ", given).strip()
    if is_equal(read(final), found) or (wordless != given and is_equal(read(final), read(wordless))):
        return True
    return None if all(isinstance(value, str) for value in found) else False


@functools.lru_cache(maxsize=4096)  # the samples of an item share its reference answer
def read(answer: str, is_boxed: bool = True) -> list:
    """The values of an answer, as SymPy has them, and its text; the text alone where Math-Verify cannot read it.

    Of a line without a box Math-Verify takes the formula or number that it finds; without any, the line itself counts.
    """
    answer = EXPONENT.sub(r"\1 \\cdot 10^{\2}", quantities.in_ascii(answer).strip().rstrip(".,;:"))
    answer = NOTHING.sub(r"\\emptyset", answer)
    bare = [] if is_boxed else library().parse(answer, parsing_timeout=None)
    values = bare or library().parse(f"\\boxed{{{answer}}}", parsing_timeout=None)
    return [*values, *(_with_imaginary_unit(value) for value in values if hasattr(value, "free_symbols"))]


def _with_imaginary_unit(value):
    """A value in which the symbol i is the imaginary unit."""
    from sympy import I

    return value.subs({symbol: I for symbol in value.free_symbols if symbol.name == "i"})


def is_equal(gold: list, found: list) -> bool:
    """Whether Math-Verify takes one of the values found for one of those expected, and rightly so."""
    options = {"timeout_seconds": None, "allow_set_relation_comp": True}
    return any(
        library().verify(one, other, **options) and not is_far(one, other)
        for one, other in itertools.product(gold, found)
    )


def is_far(gold, found) -> bool:
    """Whether two values that Math-Verify takes for equal are not. It rounds, and so small numbers are all zero."""
    from sympy import Eq, Expr, Float, Interval, MatrixBase, Set, Tuple, UnevaluatedExpr

    gold, found = (value.rhs if isinstance(value, Eq) and value.lhs.is_Symbol else value for value in (gold, found))
    if isinstance(gold, MatrixBase) and isinstance(found, MatrixBase):
        return any(map(is_far, gold.flat(), found.flat()))
    if isinstance(gold, Set | Tuple) and isinstance(found, Set | Tuple) and len(gold.args) == len(found.args):
        ends = [value.args[:2] if isinstance(value, Interval) else value.args for value in (gold, found)]
        return any(all(is_far(one, other) for other in ends[1]) for one in ends[0])
    if not all(isinstance(value, Expr) and not value.has(UnevaluatedExpr) for value in (gold, found)):
        return False  # text, relations, and percents, which are their number too
    if gold.free_symbols != found.free_symbols:
        return False  # words, letter by letter
    points = {symbol: 1 + 1 / (place + 2) for place, symbol in enumerate(sorted(gold.free_symbols, key=str))}
    sizes = [abs(value.subs(points).evalf(30)) for value in (gold, found, gold - found)]
    exact = EXACT if not points and not gold.has(Float) and not found.has(Float) else CLOSE
    return all(size.is_comparable for size in sizes) and bool(sizes[2] > max(sizes[:2]) * exact)


@functools.cache
def library():
    """Math-Verify, imported when first used: that takes a second, and most studies do without.

    Raises:
        UserError: its parser does not work with the installed packages. It would say nothing and call answers wrong.
    """
    import math_verify
    from latex2sympy2_extended.antlr_parser import PSParser

    # The parser for ANTLR 4.9, which DVC's Hydra pins, was made without one rule that the conversion asks for: every
    # percent fails (latex2sympy2_extended, issue 2). No formula needs the rule, so it never matches.
    if not hasattr(PSParser.AtomContext, "FUNC_GAMMA"):
        PSParser.AtomContext.FUNC_GAMMA = lambda self: None
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own limit is off
    gold, found = (math_verify.parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in ("50\\%", "0.5"))
    if not math_verify.verify(gold, found, timeout_seconds=None):
        raise UserError(
            found="Math-Verify, which does not read 50\\% as 0.5",
            rule="its parser works with the installed packages",
            why="it passes over its own errors, and right answers would be called wrong",
            fix="`pip install --requirement requirements.lock`, or make the environment anew with `make`",
        )
    return math_verify


class Row(fields.Row):
    """A row of MATH or the like: a problem, or question, with its solution, its final answer, or both."""

    problem: fields.Text | None = None
    question: fields.Text | None = None
    solution: fields.Text | None = None
    answer: fields.Answer | None = None


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a row of MATH or the like. The answer is the worked solution, if there is one, or the final one."""
    given = fields.read(Row, row)
    problem = given.problem or given.question
    if problem is None:
        raise ValueError("no field 'question', and none 'problem'")
    if given.answer is None and given.solution is None:
        raise ValueError("no field 'solution', and none 'answer'")
    final = given.answer if given.answer is not None else _in_last_box(given.solution)
    return {
        "id": f"math-{name}-{number:05d}",
        "task": "math",
        "prompt": f"Problem: {problem}\n{INSTRUCTION}\nSolution:",
        "answer": given.solution if given.solution is not None else f"\\boxed{{{final}}}",
        "final": final,
    }


def _in_last_box(solution: str) -> str:
    """What stands in the last box of a solution."""
    if box := last_box(solution):
        return box
    raise ValueError("there is no field 'answer', and the solution has no final answer in \\boxed{}")


TASKS = {"math": Mathematics()}
