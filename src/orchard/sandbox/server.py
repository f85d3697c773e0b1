"""The program's side of the sandbox: runs the program, then does with it what the tests ask for.

Nothing that is said here is believed but as plain data. The program can change all of this module, and gains nothing:
it does not know the tests, and has no say in the verdict.
"""

import builtins
import contextlib
import json
import operator
import os
import sys
from types import ModuleType

from orchard.sandbox.codec import Codec, line, module_name, shown
from orchard.sandbox.confine import confine
from orchard.sandbox.kinds import names_of

CHANGEABLE = (list, dict, set, bytearray)


class Server(Codec):
    """Answers requests about a program, one JSON line each, until there are no more."""

    def __init__(self, requests, replies) -> None:
        self.requests, self.replies = requests, replies
        self.objects, self.numbers = [], {}

    def refer(self, value) -> dict:
        """The number of an object, which is kept; or the tests' own number of what is theirs."""
        if isinstance(value, Callback):
            return {"yours": value.number}
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return {"mine": self.numbers[id(value)]}

    def resolve(self, owner: str, number: int):
        """The object of that number."""
        return self.objects[number] if owner == "yours" else Callback(self, number)

    def run(self, source: str) -> None:
        """Runs the program and answers what is asked about it."""
        module = sys.modules["program"] = ModuleType("program")
        loaded = self._tried(lambda: {"value": exec(compile(source, "program", "exec"), vars(module))})
        self.send(loaded)
        while "value" in loaded and (request := self.requests.readline()):
            asked = json.loads(request)
            self.send(self._tried(self._names if "names" in asked else self._do, asked))

    def send(self, message: dict) -> None:
        """Sends a message to the tests."""
        self.replies.write(line(message))
        self.replies.flush()

    def _tried(self, do, *asked) -> dict:
        """What comes of doing something, be it an exception."""
        try:
            return do(*asked)
        except BaseException as raised:
            said = {"raised": names_of(raised), "message": shown(raised)}
            with contextlib.suppress(BaseException):
                return said | {"args": self.encode(list(raised.args))}
            return said

    def _names(self, asked: dict) -> dict:
        """Those of the wanted names that the program has: modules by name, all else as values."""
        has = {name: value for name, value in vars(sys.modules["program"]).items() if name in asked["names"]}
        modules = {name: found for name, value in has.items() if (found := module_name(value))}
        values = {name: self.encode(value) for name, value in has.items() if name not in modules}
        return {"value": values, "modules": modules}

    def _do(self, asked: dict) -> dict:
        """The result of an operation, and those of its arguments that it changed, as they are afterwards."""
        values, flat = [self.decode(each) for each in asked["with"]], asked["flat"]
        named = {name: self.decode(each) for name, each in asked["named"].items()}
        changeable = {place: value for place, value in enumerate(values) if type(value) in CHANGEABLE}
        before = {place: self.encode(value) for place, value in changeable.items()}
        reply = {"value": self.encode(_operation(asked["do"])(*values, **named), flat)}
        after = {place: now for place, value in changeable.items() if (now := self.encode(value)) != before[place]}
        return reply | {"after": after} if after else reply


class Callback:
    """A function of the tests' that they handed over; it is called over there."""

    def __init__(self, server: Server, number: int) -> None:
        self.server, self.number = server, number

    def __call__(self, *values, **named):
        server = self.server
        named = {name: server.encode(each) for name, each in named.items()}
        server.send({"call": self.number, "with": [server.encode(each) for each in values], "named": named})
        reply = json.loads(server.requests.readline())
        if "raised" in reply:
            raise getattr(builtins, reply["raised"], RuntimeError)(reply["message"])
        return server.decode(reply["value"])


def _operation(name: str):
    """Python's own function of a name."""
    return operator.call if name == "call" else getattr(operator, name, None) or getattr(builtins, name)


def main() -> None:
    """Runs the program on standard input; the numbers of two pipes are the arguments."""
    given = json.loads(sys.stdin.buffer.read())
    requests, replies = (os.fdopen(int(file), mode) for file, mode in zip(sys.argv[1:], ("rb", "wb"), strict=True))
    confine(given["limits"], given["user"])
    Server(requests, replies).run(given["program"])
    os._exit(0)
