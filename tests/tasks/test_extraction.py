"""The program in a response: the forms in which models write the function that they were asked for."""

import pytest

from orchard.tasks import programs, registry

ROW = {
    "prompt": "from typing import List, Optional\n\n\n"
    'def largest(values: List[int]) -> Optional[int]:\n    """The most."""\n',
    "canonical_solution": "    return max(values, default=None)\n",
    "test": "def check(candidate):\n    assert candidate([3, 9, 4]) == 9\n    assert candidate([]) is None\n",
    "entry_point": "largest",
}
WHOLE = "def largest(values: List[int]) -> Optional[int]:\n    return max(values, default=None)\n"
BARE = "def largest(values):\n    return max(values, default=None)\n"


def fenced(code: str, opens: str = "```python", closes: str = "```") -> str:
    return f"{opens}\n{code}{closes}\n"


HELPER = fenced("def most(values):\n    return max(values, default=None)\n")
HELPED = fenced("def largest(values):\n    return most(values)\n")
ALIKE = fenced("def largest_of(values):\n    return 0\n")
DRAFT = fenced("def largest(values):\n    pass\n")
SHELL = fenced("pip install numpy\n", "```bash")
RIGHT = {
    "the rest of the function": "    return max(values, default=None)\n",
    "the rest, then another question": "    return max(values, default=None)\n\nprint(largest([1]))\n",
    "whole, imports repeated": fenced("from typing import List, Optional\n\n" + WHOLE),
    "whole, imports of the prompt alone": fenced(WHOLE),
    "a fence of another name": fenced(BARE, "```py3"),
    "a fence with a space": fenced(BARE, "```  Python"),
    "a fence of tildes": fenced(BARE, "~~~", "~~~"),
    "Windows' line ends": fenced(BARE).replace("\n", "\r\n"),
    "a fence that is never closed": "```python\n" + BARE,
    "prose before, no fence": f"Here you are:\n\n{BARE}",
    "prose around a fence": f"I would write\n{fenced(BARE)}\nwhich is short.",
    "a helper in its own fence": f"{HELPER}and\n{HELPED}",
    "another function whose name begins alike": f"{ALIKE}Better:\n{fenced(BARE)}",
    "a draft, then the final one": f"A draft:\n{DRAFT}Finally:\n{fenced(BARE)}",
    "another language first": f"{SHELL}{fenced(BARE)}",
    "an example below": fenced(f"{BARE}\nprint(largest([1, 2]))\n"),
    "an example that reads input": fenced(f"{BARE}\nn = int(input())\nprint(largest([n]))\n"),
    "an example behind a guard": fenced(f'{BARE}\nif __name__ == "__main__":\n    print(largest([int(input())]))\n'),
    "a fence in the docstring": fenced(
        BARE.replace("    return", "    '''So:\n    ```\n    largest([1])\n    ```\n    '''\n    return")
    ),
    "a lambda": fenced("largest = lambda values: max(values, default=None)\n"),
    "a space before the bracket": fenced(BARE.replace("largest(", "largest (")),
    "the body alone": fenced("return max(values, default=None)\n"),
    "an import from the future": fenced(f"from __future__ import annotations\n\n{WHOLE}"),
}
WRONG = {
    "another function": fenced("def smallest(values):\n    return min(values, default=None)\n"),
    "nothing": "",
    "prose": "It is the largest of all values.",
    "a wrong function": fenced("def largest(values):\n    return 9\n"),
}


def judged(response: str):
    item = programs.from_humaneval(ROW, "ours", 0)
    return registry.load(item["task"]).judge(item, response)


@pytest.mark.parametrize("form", RIGHT)
def test_a_right_function_passes_in_every_form(form):
    assert judged(RIGHT[form]).error is None


@pytest.mark.parametrize("form", WRONG)
def test_what_is_no_right_function_fails(form):
    assert not judged(WRONG[form]).right
