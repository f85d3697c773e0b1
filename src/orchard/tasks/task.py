"""What a task is: it judges each response once, and every user of the judgement reads what it needs of it.

An item is a row of a JSONL file: ``id``, ``task``, ``prompt`` (or ``messages``) and ``answer``; ``choices`` and
``label`` (the index of the right one) where it can be asked as multiple choice; ``response`` where it comes with a
worked one; ``final`` where the answer shows work before the final answer. ``task_code`` says which code judges it
(`orchard.tasks.registry`).
"""

from dataclasses import dataclass

UNBALANCED, CUT_OFF, NO_ANSWER, WRONG = "unbalanced brackets", "cut off", "no answer", "wrong answer"
UNREADABLE = "unreadable answer"
BALANCED, OPEN, BROKEN = "balanced", "open", "broken"
_OPENS = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class Judgement:
    """What a verifier says of one response.

    Attributes:
        right: whether it is right: the 0/1 reward of RL and the score of evaluation.
        strict: whether it is right in the very form that the task asks for; tasks with one form say ``right``.
        score: 0 to 1; between these where a task gives partial credit (the games of reasoning-gym).
        has_answer: whether it gives any answer, right or wrong, in the form that the verifier reads.
        brackets: ``balanced``, ``open`` if something is not closed yet, ``broken`` if something closes unopened.
        error: what is wrong with it, the first that holds; None if it is right.
    """

    right: bool
    strict: bool
    score: float
    has_answer: bool
    brackets: str
    error: str | None


class Task:
    """A task with a reference answer. Subclasses say when a response is right.

    Attributes:
        tries_answers: whether the reference answer of an item that comes from outside is judged before it is used: it
            can be wrong, or this machine can be unable to judge it, and then no response is ever right.
    """

    tries_answers = False

    def check(self, item: dict) -> None:
        """Raises a ValueError for an item that cannot be judged, whatever the response."""

    def judge(self, item: dict, response: str, ended: bool = True, unsafe: bool = False) -> Judgement:
        """Judges a response.

        Args:
            item: what was asked.
            response: what the model wrote after the prompt.
            ended: whether it came to an end by itself, within the tokens that it had.
            unsafe: whether a program may run without a sandbox.
        """
        score = self.score(item, response)
        right, has_answer = score == 1, self.has_answer(item, response)
        strict, brackets = self.is_strict(item, response, right), bracketing(item, response)
        error = None if right else _error(brackets, has_answer, ended)
        return Judgement(right, strict, score, has_answer, brackets, error)

    def score(self, item: dict, response: str) -> float:
        """1 for a right response; between 0 and 1 where the task gives partial credit."""
        raise NotImplementedError

    def has_answer(self, item: dict, response: str) -> bool:
        """Whether the response gives any answer, right or wrong, in the form that the verifier reads."""
        return bool(response.strip())

    def is_strict(self, item: dict, response: str, right: bool) -> bool:
        """Whether the response is right in the very form that the task asks for."""
        return right

    def respond(self, item: dict, style: str, **options) -> str:
        """A right response to an item; one that came from a file is, in whatever style, the answer in the file."""
        return item["answer"]


def _error(brackets: str, has_answer: bool, ended: bool) -> str:
    """What is wrong with a response: a bracket that is open where the response was cut off is none of its errors."""
    if brackets == BROKEN or (brackets == OPEN and ended):
        return UNBALANCED
    if not ended:
        return CUT_OFF
    return WRONG if has_answer else NO_ANSWER


def bracketing(item: dict, response: str) -> str:
    """Whether the brackets of a response are balanced, open or broken.

    Where the right answer closes brackets that the prompt opened, as in the task of that name, prompt and response are
    read as one.
    """
    prompt, answer = item.get("prompt", ""), item["answer"]
    closes_prompt = brackets(answer) != BALANCED and brackets(prompt + answer) == BALANCED
    return brackets(prompt + response if closes_prompt else response)


def brackets(text: str) -> str:
    """Whether the brackets of a text are balanced, open or broken."""
    stack = []
    for sign in text:
        if sign in _OPENS.values():
            stack.append(sign)
        elif sign in _OPENS and (not stack or stack.pop() != _OPENS[sign]):
            return BROKEN
    return OPEN if stack else BALANCED
