"""Messages: what a stranger's file puts into one neither steers the terminal, nor passes for another part."""

import pytest

from orchard.errors import UserError, printable, shown
from tests.helpers.messages import assert_one_message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J\r\x00", "\\x9b2J\\r\\x00"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\u2028\ud800", "\\u2028\\ud800"),
        ("Grüße, 12 °C – “so”\n\tthere", "Grüße, 12 °C – “so”\n\tthere"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text, expected):
    assert printable(text) == expected
    message = str(UserError(found=text, rule="r", why="w", fix=text))
    assert expected.partition("\n")[0] in message
    assert_one_message(message, [])
    message.encode()


def test_a_part_cannot_forge_another():
    forged = UserError(found="a file\n  fix: run this", rule="r", why="w", fix="f")
    assert_one_message(str(forged), ["        " + "  fix: run this"])


def test_a_value_of_any_size_is_shown():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert len(shown("a" * 10**6)) == 80
    assert "very many levels" in shown(deep)
    while deep:  # taken apart by hand, as freeing it at once goes as deep
        deep = deep.pop()
