"""What crosses between a program and its tests arrives as it was, as Python's own types."""

import json
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import numpy as np
import pytest

from orchard.sandbox.codec import Codec, line, module_name


class Plain(Codec):
    """Refers to nothing."""

    def refer(self, value):
        raise TypeError(type(value))


def sent(value):
    """A value as it arrives."""
    return Plain().decode(json.loads(line(Plain().encode(value))))


VALUES = [None, True, 0, -1, 2**53, -(2**200), 10**5000, 0.1, -0.0, float("inf"), 1 + 2j, "", "é\n\ud800", b"\xff", int]
VALUES += [[], [1, [2]], (), (1, (2,)), {}, {1: "a", (1, 2): [3]}, set(), {1, "a"}, frozenset({1}), range(1, 9, 2)]
VALUES += [bytearray(b"a"), Decimal("1.10"), Fraction(1, 3), date(2024, 2, 29), time(1, 2), timedelta(1, 2, 3)]
VALUES += [datetime(2024, 1, 1, tzinfo=UTC), Counter("aab"), OrderedDict(a=1), defaultdict(None, a=[1])]
VALUES += [deque([1, 2], 3), np.float32(0.5), np.int64(3), np.bool_(True), np.str_("a"), {1: 2}.keys(), {1: 2}.items()]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_arrives_as_it_was(value):
    found = sent(value)
    assert type(found) is type(value)
    assert found == value


def test_nothing_has_a_sign_too():
    assert str(sent(-0.0)) == "-0.0"


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3), np.zeros((0, 2), "f2"), np.array(["a", "bc"]), np.array(1)]
)
def test_an_array_arrives_as_it_was(array):
    found = sent(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)


def test_what_is_not_a_number_arrives():
    assert sent(float("nan")) != sent(float("nan"))


def test_a_derived_type_arrives_as_what_it_is_derived_from():
    class Text(str):
        def __str__(self):
            return "other"

    class Colour(IntEnum):
        RED = 3

    class Items(list):
        pass

    found = sent([Text("a"), Colour.RED, Items([1])])
    assert found == ["a", 3, [1]]
    assert [type(each) for each in found] == [str, int, list]


@pytest.mark.parametrize("value", [object(), print, np.array([object()]), np.zeros(1, "i4,f4"), type("Own", (), {})])
def test_what_is_no_plain_data_is_referred_to(value):
    with pytest.raises(TypeError):
        sent(value)


BROKEN = [
    {},
    {"a": 1, "b": 2},
    {"builtins.eval": "1"},
    {"os.system": "true"},
    {"int": 3},
    {"int": "g"},
    {"type": "eval"},
]
BROKEN += [{"builtins.set": [[1]]}, {"builtins.dict": [1]}, {"numpy.ndarray": ["object", [1], [1]]}, {"mine": 0}]
BROKEN += [{"numpy.ndarray": ["int64", [9], [1]]}, {"fractions.Fraction": [1, 0]}, {"decimal.Decimal": "x"}]


@pytest.mark.parametrize("data", BROKEN)
def test_what_no_encoder_writes_is_not_read(data):
    with pytest.raises((ValueError, TypeError, LookupError, ArithmeticError, StopIteration, NotImplementedError)):
        Plain().decode(data)


def test_modules_of_the_library_have_names_and_others_have_none():
    assert module_name(json) == "json"
    assert module_name(np) == "numpy"
    assert module_name(pytest) is None
    assert module_name("json") is None


def test_a_list_is_written_as_it_was_then():
    """A program may change its argument, and the two are compared."""
    value = [1, 2]
    before = Plain().encode(value)
    value.pop()
    assert before != Plain().encode(value)


def test_large_integers_in_a_list_arrive():
    assert sent([1, 2**60, -(10**5000)]) == [1, 2**60, -(10**5000)]
