r"""Where LaTeX boxes a final answer: ``\boxed{…}``, ``\boxed {…}``, ``\fbox{…}``, or, without braces, ``\boxed 5``.

An empty box, and the bare word in a sentence ("put it in \boxed"), is no answer. Boxes that a comma, "and" or "or"
joins are one answer.
"""

import re

MOST = 1000  # boxes that are looked at, from the end; ours
BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s{0,3}")
UNBRACED = re.compile(r"[-+−]?\d[\d.,/]*|\\[a-zA-Z]+(?:\{[^{}]{0,100}\})*|[A-Za-z](?![A-Za-z])")
JOINED = re.compile(r"[\s$]{0,5}(?:,[\s$]{0,5}(?:and|or)?|and|or)[\s$]{0,5}")


def last_box(text: str) -> str | None:
    """What stands in the last box, or in the last ones that are joined; None without any, or where the last is open."""
    found: list[str] = []
    begins = None  # where the box behind begins
    for match in reversed(list(BOX.finditer(text))[-MOST:]):
        content, end = _content(text, match.end())
        if end is None:
            return None if begins is None else ",".join(found)
        if not content.strip():
            continue
        if begins is not None and not JOINED.fullmatch(text[end:begins][:20]):
            break
        found.insert(0, content.strip())
        begins = match.start()
    return ",".join(dict.fromkeys(found)) or None


def _content(text: str, place: int) -> tuple[str, int | None]:
    """What a box that begins at a place holds, and where it ends: None for one that is never closed."""
    if not text.startswith("{", place):
        word = UNBRACED.match(text, place)
        return (word[0].rstrip(".,"), word.end()) if word else ("", place)
    depth = 0
    for sign in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, place):
        depth += {"{": 1, "}": -1}.get(sign[0], 0)
        if depth == 0:
            return text[place + 1 : sign.start()], sign.end()
    return "", None
