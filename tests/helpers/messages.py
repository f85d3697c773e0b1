"""What a message for a user's mistake looks like."""


def assert_one_message(text: str, expected: list[str]) -> None:
    """The message has its four parts once, in order, no traceback, and says what is expected."""
    parts = [
        line.split(":")[0].strip()
        for line in text.splitlines()
        if line.startswith(("found:", " rule:", "  why:", "  fix:"))
    ]
    assert parts == ["found", "rule", "why", "fix"], text
    assert "Traceback" not in text
    for fragment in expected:
        assert fragment in text, text
