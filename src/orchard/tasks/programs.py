"""Programming problems in the formats of HumanEval and MBPP: what is asked, what of a response is code, what to run.

A response is read in two ways. Strictly, it goes on where the prompt ends, as a base model does. Flexibly, it may be
prose with a fenced block of code, or a whole function, as a chat model writes it; that is the usual reading.
"""

import functools
import re

from orchard.tasks import sandbox

TASK = "program"
FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
AFTER = re.compile(r"^(?=\S)(?!def |class |@|import |from |#|[A-Za-z_]\w*\s*=)", re.MULTILINE)  # prose or calls below
LIMITS = sandbox.Limits(seconds=60, cpu_seconds=10)  # ours: no problem needs seconds, and a busy machine is no mistake


def from_humaneval(row: dict) -> dict:
    """An item from a row of HumanEval's file: the prompt is the beginning of the function."""
    return {
        "task": TASK,
        "prompt": row["prompt"],
        "answer": row["canonical_solution"],
        "entry_point": row["entry_point"],
        "test": f"{row['test']}\ncheck({row['entry_point']})\n",
        "begun": True,
    }


def from_mbpp(row: dict) -> dict:
    """An item from a row of MBPP's file: the prompt is the task in words, with its tests, as its authors ask it."""
    tests = "\n".join(row["test_list"])
    name = re.search(r"^assert\s+(?:\w+\()*(\w+)\(", row["test_list"][0])
    return {
        "task": TASK,
        "prompt": f'"""\n{row["text"]}\n{tests}\n"""\n',
        "answer": row["code"],
        "entry_point": re.search(r"^def (\w+)", row["code"], re.MULTILINE)[1] if not name else name[1],
        "test": "\n".join(filter(None, [row.get("test_setup_code"), tests])) + "\n",
        "begun": False,
    }


def code_of(item: dict, response: str, strict: bool = False) -> str:
    """The program without its tests.

    Args:
        item: as of from_humaneval or from_mbpp.
        response: what the model wrote after the prompt.
        strict: take it as it is.
    """
    if not strict:
        blocks = FENCE.findall(response)
        holding = [block for block in blocks if f"def {item['entry_point']}" in block]
        response = (holding or blocks or [response])[0]
        if re.search(rf"^def {item['entry_point']}\b", response, re.MULTILINE):
            return response  # a whole function, which needs no beginning
        if item["begun"]:
            response = body_alone(response)
    return item["prompt"] + response if item["begun"] else response


def body_alone(response: str) -> str:
    """The rest of a function that the prompt began: up to the first line that is not indented and defines nothing."""
    end = AFTER.search(response)
    return response[: end.start()] if end and end.start() else response


def outcome(item: dict, response: str, strict: bool = False) -> sandbox.Outcome:
    """What becomes of a response that is run with its item's tests, in the sandbox.

    Raises:
        UserError: there is no sandbox here, and the item does not say ``unsafe``.
    """
    return _run(f"{code_of(item, response, strict)}\n{item['test']}", bool(item.get("unsafe")))


@functools.lru_cache(maxsize=4096)
def _run(program: str, unsafe: bool) -> sandbox.Outcome:
    """Remembered, because the verifier and the table of errors ask for the same."""
    return sandbox.run(program, LIMITS, unsafe)
