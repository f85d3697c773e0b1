"""Judging of responses in tests, and responses that mean nothing."""

from orchard.tasks import registry
from orchard.tasks.task import Judgement

ODD = ["", " \n", "\\boxed{", "\\boxed{}", "}{", "\x00", "∞ 𝟛 五 ½", "9" * 100_000, "\\boxed{" * 20_000, "(" * 20_000]
ODD += ["\\boxed{\\frac{1}{0}}", "\\boxed{9**9**9**9}", "\\frac{", "\ud800", "1 2 " * 100_000]


def judge(item: dict, response: str, **options) -> Judgement:
    """What the verifier of an item's task says of a response."""
    return registry.load(item["task"]).judge(item, response, **options)
