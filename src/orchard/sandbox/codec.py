"""Values as plain data: all that crosses between a program and its tests.

A value is written as JSON and made anew on the other side, of Python's own types (and numpy's). So no method of the
program's ever answers for a value, and one that equals everything arrives as what it is: an object of the program,
which is named by a number and stays where it is.
"""

import builtins
import contextlib
import importlib
import json
import sys
from types import ModuleType, NoneType

LONGEST = 8 * 2**20  # bytes of a message from a program; ours: no benchmark's result comes near
SAFE = 2**53  # integers from here on are written in base 16, which takes no time that grows with the square
NUMBERS = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()


def _made(module: str, name: str, method: str = "__call__"):
    """What makes a value of a class from its parts."""

    def make(parts):
        made_by = getattr(importlib.import_module(module), name)
        made_by = made_by if method == "__call__" else getattr(made_by, method)
        return made_by(*parts) if isinstance(parts, list) else made_by(parts)

    return make


def _pairs(mapping) -> list:
    return [[key, value] for key, value in mapping.items()]


def _array(parts):
    """A numpy array of numbers or text from the name of its type, its shape and its values."""
    import numpy

    name, shape, values = parts
    if name not in NUMBERS and not (name.startswith("str") and name[3:].isdigit()):
        raise ValueError(f"an array of {name}")
    return numpy.array(values, dtype=name if name in NUMBERS else str).reshape(shape)


def _array_parts(array) -> list:
    if array.dtype.name not in NUMBERS and array.dtype.kind != "U":
        raise TypeError(f"an array of {array.dtype.name}")
    return [array.dtype.name, list(array.shape), array.ravel().tolist()]


EXACT = {  # a type: its parts, and the value of these parts
    "builtins.tuple": (list, tuple),
    "builtins.dict": (_pairs, dict),
    "builtins.set": (list, set),
    "builtins.frozenset": (list, frozenset),
    "builtins.complex": (lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    "builtins.bytes": (bytes.hex, bytes.fromhex),
    "builtins.bytearray": (bytearray.hex, bytearray.fromhex),
    "builtins.range": (lambda value: [value.start, value.stop, value.step], lambda parts: range(*parts)),
    "builtins.dict_keys": (list, lambda parts: dict.fromkeys(parts).keys()),
    "builtins.dict_values": (list, lambda parts: dict(enumerate(parts)).values()),
    "builtins.dict_items": (lambda value: [list(each) for each in value], lambda parts: dict(parts).items()),
    "collections.Counter": (_pairs, lambda parts: _made("collections", "Counter")([dict(parts)])),
    "collections.OrderedDict": (_pairs, lambda parts: _made("collections", "OrderedDict")([parts])),
    "collections.defaultdict": (_pairs, lambda parts: _made("collections", "defaultdict")([None, parts])),
    "collections.deque": (lambda value: [list(value), value.maxlen], _made("collections", "deque")),
    "decimal.Decimal": (str, _made("decimal", "Decimal")),
    "fractions.Fraction": (lambda value: [value.numerator, value.denominator], _made("fractions", "Fraction")),
    "datetime.date": (lambda value: value.isoformat(), _made("datetime", "date", "fromisoformat")),
    "datetime.time": (lambda value: value.isoformat(), _made("datetime", "time", "fromisoformat")),
    "datetime.datetime": (lambda value: value.isoformat(), _made("datetime", "datetime", "fromisoformat")),
    "datetime.timedelta": (
        lambda value: [value.days, value.seconds, value.microseconds],
        _made("datetime", "timedelta"),
    ),
    "numpy.ndarray": (_array_parts, _array),
    "numpy.number": (lambda value: _array_parts(value.reshape(1)), lambda parts: _array(parts)[0]),
}
BASES = {  # what a value of a derived type is sent as
    int: int.__int__, float: float.__float__, complex: complex.__complex__, str: str.__str__, bytes: bytes, list: list,
    tuple: tuple, dict: dict, set: set, frozenset: frozenset,
}  # fmt: skip


TYPES = {each: name for name, each in vars(builtins).items() if isinstance(each, type)}  # sent by name


def _is_simple(values: list) -> bool:
    """Whether JSON takes a list as it is; it is asked in C, as lists of benchmarks are long."""
    types = set(map(type, values))
    if types <= {str, float, bool, NoneType}:
        return True
    return types == {int} and min(values) > -SAFE and max(values) < SAFE


class Codec:
    """Writes and reads values. Each side says how it names what is no plain data, and what such a name stands for."""

    def refer(self, value) -> dict:
        """The name of a value that is no plain data: ``mine`` or ``yours``, and a number."""
        raise NotImplementedError

    def resolve(self, owner: str, number: int):
        """What a name stands for."""
        raise NotImplementedError

    def encode(self, value, flat: bool = True):
        """A value as JSON takes it.

        Args:
            value: any.
            flat: send a value of a type that is derived from a plain one as a plain one.
        """
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if -SAFE < value < SAFE else {"int": hex(value)}
        if kind is list:
            if _is_simple(value):
                return value[:]  # the program may change its own
            return [self.encode(each, flat) for each in value]
        if kind is type and value in TYPES:
            return {"type": TYPES[value]}
        name = f"{kind.__module__}.{kind.__qualname__}"
        if kind.__module__ == "numpy" and getattr(value, "shape", None) == () and name != "numpy.ndarray":
            name = "numpy.number"
        with contextlib.suppress(TypeError):  # an array of objects, a record
            if parts := name in EXACT and [EXACT[name][0](value)]:
                return {name: self.encode(parts[0], flat)}
        if flat and (base := next((each for each in BASES if isinstance(value, each)), None)):
            return self.encode(BASES[base](value), flat)
        return self.refer(value)

    def decode(self, data):
        """The value that was written.

        Raises:
            Exception: of any kind, for what no encoder writes.
        """
        if isinstance(data, list):
            if {list, dict}.isdisjoint(map(type, data)):
                return data
            return [self.decode(each) for each in data]
        if not isinstance(data, dict):
            return data
        ((name, parts),) = data.items()
        if name == "int":
            return int(parts, 16)
        if name == "type":
            return next(each for each, known in TYPES.items() if known == parts)
        if name in ("mine", "yours"):
            return self.resolve(name, parts)
        return EXACT[name][1](self.decode(parts))


def module_name(value) -> str | None:
    """The name of a module that each side can import by itself; None for anything else."""
    name = value.__name__ if type(value) is ModuleType else ""
    return name if name.partition(".")[0] in {*sys.stdlib_module_names, "numpy"} else None


def shown(exception: BaseException) -> str:
    """The text of an exception, as far as it has one, cut to 300 characters."""
    try:
        return str(exception)[:300]
    except BaseException:  # a program's own exception may do anything when asked for its text
        return ""


def line(message: dict) -> bytes:
    """A message as it is sent."""
    return json.dumps(message).encode() + b"\n"
