"""The tests' side of the sandbox: runs the tests, asks the program's side for values, and forms the verdict.

The program runs in another process. Its functions and objects stand here as references. What they give comes as plain
data; what is no plain data stays a reference, and a reference gives the tests' own values to the program only as
arguments of a call. It equals nothing but itself, so that a program cannot answer a comparison.
"""

import ast
import builtins
import contextlib
import importlib
import json
import os
import sys
import threading
from types import CodeType

from orchard.sandbox import kinds
from orchard.sandbox.codec import LONGEST, Codec, line, shown
from orchard.sandbox.confine import confine

ASKED = "eq ne lt le gt ge add sub mul truediv floordiv mod pow contains delitem neg abs hash int float index".split()
SWAPPED = "add sub mul truediv floordiv mod pow".split()


class Broken(BaseException):
    """The program's side said what it cannot say, or nothing; or the tests need what cannot be sent."""


class Client(Codec):
    """Asks the program's side, one JSON line each.

    Attributes:
        broken: the kind and the message of what ended the conversation, if anything did.
    """

    def __init__(self, requests, replies) -> None:
        self.requests, self.replies, self.lock = requests, replies, threading.RLock()
        self.lent, self.broken, self.use = [], None, Reference

    def refer(self, value) -> dict:
        """The program's number of its object; or ours, of a function that it may call."""
        if isinstance(value, Reference):
            return {"yours": value._number}
        if not callable(value) or isinstance(value, type):
            self.fail(kinds.UNSUPPORTED, f"the tests hand over a {type(value).__name__}, which is no plain data")
        self.lent.append(value)
        return {"mine": len(self.lent) - 1}

    def resolve(self, owner: str, number: int):
        """A reference to the program's object, or the function that was lent."""
        if type(number) is not int or number < 0:
            raise ValueError(f"object number {number!r}")
        if owner == "yours":
            return self.lent[number]
        return self.use(self, number)

    def ask(self, do: str, *values, named: dict | None = None, use: type | None = None):
        """What an operation gives in the program's process.

        Args:
            do: the name of an operator or a built-in function; ``call``.
            values: its arguments.
            named: its arguments by name.
            use: what a reference in the result is taken for: a class below, `Reference` if none is named.
        """
        named = {name: self.encode(each) for name, each in (named or {}).items()}
        sent = [self.encode(each) for each in values]
        with self.lock:
            reply = self.exchange({"do": do, "with": sent, "named": named, "flat": use is not Object}, use)
        for place, now in reply.get("after", {}).items():
            _change(values[int(place)], now)
        return reply["value"]

    def exchange(self, message: dict, use: type | None = None) -> dict:
        """The reply to a message, decoded; meanwhile the program may call what it was lent.

        Raises:
            BaseException: what the program raised, as an exception of Python's own.
            Broken: there is no such reply.
        """
        self.send(message)
        while "call" in (reply := self.receive(use)):
            self.send(self._called(reply))
        if "raised" in reply:
            raise _exception(reply["raised"], reply["args"])
        return reply

    def send(self, message: dict) -> None:
        """Sends a message to the program."""
        if self.broken:
            raise Broken
        try:
            self.requests.write(line(message))
            self.requests.flush()
        except OSError:
            self.fail(kinds.ENDED_EARLY, "the program is gone")

    def receive(self, use: type | None = None) -> dict:
        """The next message of the program."""
        received = self.replies.readline(LONGEST + 1)
        if len(received) > LONGEST:
            self.fail(kinds.TOO_MUCH, f"a value of more than {LONGEST} bytes")
        if not received.endswith(b"\n"):
            self.fail(kinds.ENDED_EARLY, "the program is gone")
        self.use = use or Reference
        try:
            return self._read(json.loads(received))
        except MemoryError:
            self.fail(kinds.OUT_OF_MEMORY, "a value that takes too much memory")
        except Exception as error:  # whatever a program may say
            self.fail(kinds.ENDED_EARLY, f"the program said what is no value ({type(error).__name__})")

    def fail(self, kind: str, message: str) -> None:
        """Ends the conversation.

        Raises:
            Broken: always.
        """
        self.broken = self.broken or (kind, message)
        raise Broken

    def _read(self, message: dict) -> dict:
        """A message with its values decoded, each part of the type that it must have."""
        if "raised" in message:
            names, text = [str(name) for name in list(message["raised"])], str(message["message"])
            return {"raised": names, "args": list(self.decode(message.get("args", [text])))}
        if "call" in message:
            named = {name: self.decode(each) for name, each in dict(message["named"]).items()}
            values = [self.decode(each) for each in list(message["with"])]
            return {"call": self.resolve("yours", message["call"]), "with": values, "named": named}
        if "modules" in message:
            values = {name: self.decode(each) for name, each in dict(message["value"]).items()}
            return {"value": values, "modules": dict(message["modules"])}
        after = {place: self.decode(each) for place, each in dict(message.get("after", {})).items()}
        return {"value": self.decode(message["value"]), "after": after}

    def _called(self, call: dict) -> dict:
        """What a function that the tests lent gives."""
        try:
            return {"value": self.encode(call["call"](*call["with"], **call["named"]))}
        except Exception as error:
            return {"raised": type(error).__name__, "message": shown(error)}


class Reference:
    """What is no plain data: its attributes and items are read, it is iterated over and printed.

    Its methods are not called: their answer would be the program's word on the tests' own values.
    """

    def __init__(self, client: Client, number: int) -> None:
        vars(self).update(_client=client, _number=number)

    def __call__(self, *_, **__):
        self._client.fail(kinds.UNSUPPORTED, "the tests call a method of a value that is no plain data")

    def __getattr__(self, name: str):
        return self._client.ask("getattr", self, _shown(name))

    def __setattr__(self, name: str, value) -> None:
        self._client.ask("setattr", self, name, value)

    def __eq__(self, other):
        return True if isinstance(other, Reference) and other._number == self._number else NotImplemented

    def __hash__(self) -> int:
        return self._number

    def __iter__(self):
        values = self._client.ask("iter", self)
        with contextlib.suppress(StopIteration):
            while True:
                yield self._client.ask("next", values)

    def __next__(self):
        return self._client.ask("next", self)

    def __getitem__(self, key):
        return self._client.ask("getitem", self, key)

    def __len__(self) -> int:
        return self._client.ask("len", self)

    def __bool__(self) -> bool:
        return self._client.ask("bool", self)

    def __str__(self) -> str:
        return self._client.ask("str", self)

    def __repr__(self) -> str:
        return self._client.ask("repr", self)


class Function(Reference):
    """A function of the program's, or what one gave: it may be one, too."""

    def __call__(self, *values, **named):
        return self._client.ask("call", self, *values, named=named, use=Function)


class Class(Function):
    """A class that the reference solution has, too."""

    def __call__(self, *values, **named):
        return self._client.ask("call", self, *values, named=named, use=Object)

    def __getattr__(self, name: str):
        return self._client.ask("getattr", self, _shown(name), use=Function)

    def __instancecheck__(self, value) -> bool:
        return isinstance(value, Reference) and self._client.ask("isinstance", value, self)


class Object(Function):
    """What the tests themselves made of such a class: they are about it, so it has methods and operators."""

    def __getattr__(self, name: str):
        return self._client.ask("getattr", self, _shown(name), use=Function)

    def __setitem__(self, key, value) -> None:
        self._client.ask("setitem", self, key, value)


def _shown(name: str) -> str:
    """The name of an attribute that may be read: numpy would read whatever memory ``__array_interface__`` names."""
    if name.startswith("__") and name not in ("__name__", "__doc__"):
        raise AttributeError(name)
    return name


def _operator(name: str, is_swapped: bool = False):
    def ask(self, *values):
        return self._client.ask(name, *((*values, self) if is_swapped else (self, *values)))

    return ask


for _name in ASKED:
    setattr(Object, f"__{_name}__", _operator(_name))
for _name in SWAPPED:
    setattr(Object, f"__r{_name}__", _operator(_name, is_swapped=True))


def _change(value, now) -> None:
    """Makes a list, dict, set or bytearray of the tests' what the program made of it."""
    if type(value) is not type(now):
        return
    if isinstance(value, (list, bytearray)):
        value[:] = now
    elif isinstance(value, (dict, set)):
        value.clear()
        value.update(now)


def _exception(names: list[str], parts: list) -> BaseException:
    """An exception of Python's own, of the nearest class to what the program raised."""
    nearest = next((kinds.EXCEPTIONS[name] for name in names if name in kinds.EXCEPTIONS), Exception)
    try:
        raised = nearest(*parts)
    except Exception:  # the program's class took other arguments
        raised = Exception(*parts)
    raised.orchard_names = names
    return raised


def verdict(client: Client, script: str, entry_point: str, prelude: str, reference: str) -> tuple[str | None, str]:
    """The kind of error, or None where the program passes, and a message.

    Args:
        client: what asks the program's side.
        script: the tests; they pass by raising nothing.
        entry_point: the function or class that is tested.
        prelude: what the program was given to begin with; what it has besides the entry point is the tests' to use.
        reference: a right program; its classes are what the tests may use as such.
    """
    try:
        reply = client.receive()
        if "raised" in reply:
            raise _exception(reply["raised"], reply["args"])
        names = {"__name__": "tests"}
        with contextlib.suppress(Exception):
            exec(_compiled(prelude), names)
        tests = compile(script, "tests", "exec")
        bound = _bind(client, names, _names(tests) | {entry_point}, entry_point, _classes(reference))
        exec(tests, names)
    except BaseException as raised:
        names = getattr(raised, "orchard_names", None) or kinds.names_of(raised)
        return client.broken or (kinds.of_exception(names), shown(raised))
    if not bound:
        return kinds.NOT_TESTED, "the tests pass, and use nothing that the program defines"
    return client.broken or (None, "")


def _compiled(prelude: str) -> CodeType:
    """The beginning of a program, with whatever completes the function that it breaks off in."""
    for body in ("\n    pass\n", ""):
        with contextlib.suppress(SyntaxError):
            return compile(prelude.rstrip() + body, "prelude", "exec")
    return compile("", "prelude", "exec")


def _names(code: CodeType) -> set[str]:
    """The global names and attributes that a script mentions."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _classes(reference: str) -> set[str]:
    """The names of the classes of a program."""
    try:
        tree = ast.parse(reference)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}


def _bind(client: Client, names: dict, wanted: set[str], entry_point: str, classes: set[str]) -> bool:
    """Gives the tests what they use of the program; whether that is anything.

    The program cannot put anything in the place of a built-in function, of a module, or of what the prelude has.
    """
    given = {name for name in names if name not in classes} | set(vars(builtins))
    wanted = sorted((wanted - given) | ({entry_point} - {""}))
    values = {}
    for group, use in ((set(wanted) & classes, Class), (set(wanted) - classes, Function)):
        reply = client.exchange({"names": sorted(group)}, use)
        for name, module in reply.get("modules", {}).items():
            if name in group and module.partition(".")[0] in {*sys.stdlib_module_names, "numpy"}:
                names[name] = importlib.import_module(module)
        values |= {name: value for name, value in reply["value"].items() if name in group}
    names.pop(entry_point, None)
    names.update(values)
    return bool(values)


def main() -> None:
    """Runs the tests on standard input; the numbers of three pipes are the arguments."""
    given = json.loads(sys.stdin.buffer.read())
    requests, replies = os.fdopen(int(sys.argv[1]), "wb"), os.fdopen(int(sys.argv[2]), "rb")
    confine(given["limits"], given["user"])
    client = Client(requests, replies)
    found = verdict(client, given["script"], given["entry_point"], given["prelude"], given["reference"])
    os.write(int(sys.argv[3]), json.dumps(found).encode())
    os._exit(0)
