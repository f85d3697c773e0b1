r"""Which number a text comes to, as people and models write numbers in English prose and LaTeX. Values are exact.

The grammar; white space may stand around operators:

    expression = ["-"] quantity {operator quantity}, with brackets
    operator   = "+" | "-" | "*" | "/" | "^", also as "×", "·", "÷", "**", "x" between digits, "\times", "\cdot", "\div"
    quantity   = [currency] (mixed | clock | number) [scale] [percent]
    mixed      = digits (" " | " and ") digits "/" digits       1 1/2, 1½, 1\frac{1}{2}
    clock      = digits ":" two digits, in hours                 5:00 pm is 5
    number     = (grouped | digits) ["." digits] | "." digits | digits "," digits; then an exponent       .5, 1e3, 1,25
    grouped    = threes behind "," (or a narrow space, "{,}", "\,", "'"): 1,234; or as in India: 12,34,567
    scale      = "k" | "M" | "bn" | "hundred" | "thousand" | "million" | "billion" | "trillion"
    percent    = "%" | "percent": such a quantity is its number, and is a hundredth of it too

- Digits of every script count, and so do "½" and the minus sign U+2212.
- A digit behind a letter, "^" or "_" belongs to a unit or a name and is no number: 27 m², 27 m^2, CO2.
- A "-" before a space is a dash, unless it stands between two quantities or behind "=".
- Where no digit stands, numbers in words count: ten, twenty-five. "One" in a sentence is a pronoun.
"""

import ast
import operator
import re
import unicodedata
from collections import deque
from fractions import Fraction

from word2number import w2n

LONGEST = 400  # characters of an expression, and size of an exponent: ours, beyond any answer, so that none takes long
POWERS = {"k": 3, "m": 6, "b": 9, "bn": 9, "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}

# What repeats is bounded, so that no text takes long to read.
_DIGITS = r"\d{1,400}(?!\d)"
NUMBER = (
    r"(?:\d{1,3}(?:,\d{3}){1,99}(?!\d|,\d)(?:\.\d{1,400})?|\d{1,2}(?:,\d{2}){1,99},\d{3}(?:\.\d{1,400})?"
    rf"|\d{{1,400}},{_DIGITS}(?!,\d)|{_DIGITS}(?:\.{_DIGITS})?|(?<![\w.])\.{_DIGITS})(?:[eE][+-]?\d{{1,9}}(?!\w))?"
)
SCALE = r"(?:[kKMB](?![A-Za-z])|bn\b| ?(?:hundred|thousand|million|billion|trillion)\b)"
PERCENT = r" ?(?:%|percent\b|per cent\b|pct\b)"
QUANTITY = re.compile(
    r"(?:(?P<whole>\d{1,9})(?: | and )(?P<top>\d{1,9}) ?/ ?(?P<bottom>\d{1,9})(?![/\d])"
    rf"|(?P<hours>\d{{1,2}}):(?P<minutes>[0-5]\d)(?![\d:])"
    rf"|(?P<number>{NUMBER}))(?P<scale>{SCALE})?(?P<percent>{PERCENT})?"
)
_QUANTITY = re.sub(r"\?P<\w+>", "?:", QUANTITY.pattern)  # without names, so that it may stand twice in one pattern
_TERM = rf"\({{0,4}}-?{_QUANTITY}\){{0,4}}"
_OPERATOR = r" {0,3}(?:[-+*/^×·÷]|x(?= ?[\d(.])) {0,3}"
EXPRESSION = re.compile(rf"(?<![A-Za-z_^\d])(?<!\^-)-?{_TERM}(?:{_OPERATOR}{_TERM}){{0,200}}")
REFERENCE = re.compile(rf"-?(?!\d+:){_QUANTITY}(?: ?/ ?\d+)?")

_SMALL = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_LARGE = "zero eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion"
_WORD = rf"(?:{'|'.join(f'{_SMALL} {_LARGE}'.split())})\b"
WORDS = re.compile(rf"\b{_WORD}(?:(?:[ -]| and ){_WORD}){{0,20}}", re.IGNORECASE)

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}
REWRITTEN = [  # what is written otherwise, in the order in which it is read
    (r"(?<=\d)(?:[\u00a0\u2007\u2009\u202f']|\\[,!;]|\{,\})(?=\d{3}(?!\d))", ","),
    (r"(?<=\d)\*\*(?=\d)", "^"),
    (r"\\d?t?frac *\{([^{}]{1,40})\} *\{([^{}]{1,40})\}", r" \1/\2"),
    (r"\\d?t?frac *(\d) *(\d)", r" \1/\2"),
    (r"\\(?:text|textbf|mathbf|mathrm|mbox) *\{([^{}]{0,200})\}", r" \1 "),
    (r"\^ ?\{?\\circ\}?", " "),
    (r"\\(?:times|cdot|ast)\b", "×"),
    (r"\\div\b", "÷"),
    (r"\\([$%])", r"\1"),
    (r"\^\{(-?\d+)\}", r"^\1"),
    (r"\\(?:left|right)\b|\\[()\[\]]", ""),
    (r"\\[,!;: ]|[\u00a0\u2007\u2009\u202f]", " "),
    (r"(?<=\d)[$€£¥₹](?=\d)", " "),
    (r"[$€£¥₹]|\b(?:USD|EUR|GBP|INR|Rs\.?)(?= ?-?\d)|\*\*|__|`", ""),
    (r"=\s{0,3}- (?=\d)", "= -"),
]
_REWRITTEN = [(re.compile(pattern), written) for pattern, written in REWRITTEN]
_ODD_SIGN = re.compile(r"[^\x00-\x7f\u00a0\u2007\u2009\u202f×·÷€£¥₹]")


def plain(text: str) -> str:
    """The text with the many ways to write a number made one."""
    text = in_ascii(text)
    for pattern, written in _REWRITTEN:
        text = pattern.sub(written, text)
    return text


def in_ascii(text: str) -> str:
    """The text with the digits, fractions and minus signs of any script as ASCII has them, raised ones behind "^"."""
    text = re.sub("[⁰¹²³⁴-⁹⁻]+", lambda raised: f"^{unicodedata.normalize('NFKC', raised[0])}", text)
    return _ODD_SIGN.sub(_sign_in_ascii, text)


def _sign_in_ascii(sign: re.Match) -> str:
    """A digit of any script, a fraction such as ½, a minus sign or a wide sign as ASCII has it."""
    if (digit := unicodedata.decimal(sign[0], None)) is not None:
        return str(digit)
    if sign[0] in "−–﹣－":
        return "-"
    if sign[0] in "٫٬":
        return ".,"["٫٬".index(sign[0])]
    wide = unicodedata.normalize("NFKC", sign[0])
    return f" {wide.replace('⁄', '/')}" if "⁄" in wide else wide if wide.isascii() else sign[0]


def reference(text: str) -> frozenset[Fraction]:
    """The values of a text that is one number or fraction and nothing else; none if it is not."""
    text = plain(text.strip()).strip() if len(text) <= LONGEST else ""
    return values(text) if REFERENCE.fullmatch(text) else frozenset()


def last(text: str) -> frozenset[Fraction]:
    """The values of the last expression of a plain text, else of its last number in words; none if there is neither."""
    if found := deque(EXPRESSION.finditer(text), maxlen=1):
        return values(found[0][0])
    words = [match for match in WORDS.finditer(text) if match[0].lower() != "one" or match[0] == text.strip(" .!\n")]
    return in_words(words[-1][0]) if words else frozenset()


def at(text: str, place: int) -> frozenset[Fraction]:
    """The values of the expression, or number in words, that begins at a place of a plain text."""
    if found := EXPRESSION.match(text, place):
        return values(found[0])
    found = WORDS.match(text, place)
    return in_words(found[0]) if found else frozenset()


def in_words(text: str) -> frozenset[Fraction]:
    """The value of a number in words."""
    try:
        return frozenset([Fraction(w2n.word_to_num(text))])
    except ValueError:  # words that make no number
        return frozenset()


def values(expression: str) -> frozenset[Fraction]:
    """What an expression comes to: two values where a percent sign stands in it, none where it cannot be worked out."""
    if len(expression) > LONGEST:
        return frozenset()
    readings = {_value(expression, of_percent) for of_percent in (Fraction(1), Fraction(1, 100))}
    return frozenset(readings - {None})


def _value(expression: str, of_percent: Fraction) -> Fraction | None:
    """What an expression comes to, where a percent sign means a factor."""
    numbers: list[Fraction] = []

    def name(found: re.Match) -> str:
        numbers.append(_quantity(found) * (of_percent if found["percent"] else 1))
        return f"[{len(numbers) - 1}]"

    try:
        text = QUANTITY.sub(name, expression)
        text = re.sub("[×·x]", "*", text).replace("÷", "/").replace("^", "**")
        if text.count("(") != text.count(")"):
            text = text.replace("(", "").replace(")", "")
        return _worked(ast.parse(text.replace(" ", ""), mode="eval").body, numbers)
    except (ArithmeticError, SyntaxError, ValueError, KeyError, RecursionError):
        return None


def _quantity(found: re.Match) -> Fraction:
    """The value of a quantity without its percent sign.

    Raises:
        ValueError: it is larger than any answer.
        ZeroDivisionError: its fraction has no value.
    """
    if found["whole"]:
        return int(found["whole"]) + Fraction(int(found["top"]), int(found["bottom"]))
    if found["hours"]:
        return int(found["hours"]) + Fraction(int(found["minutes"]), 60)
    number, scale = found["number"].lower(), (found["scale"] or "").strip().lower()
    if not re.search(r"^\d{1,3}(,\d{2,3})*,\d{3}\b", number) or number.startswith("0,"):
        number = number.replace(",", ".")
    number, _, exponent = number.replace(",", "").partition("e")
    if abs(int(exponent or 0)) > LONGEST:
        raise ValueError
    return Fraction(number) * Fraction(10) ** (int(exponent or 0) + POWERS.get(scale, 0))


def _worked(node: ast.AST, numbers: list[Fraction]) -> Fraction:
    """The value of a parsed expression, whose numbers stand in a list.

    Raises:
        ArithmeticError, KeyError, ValueError: it has no value, or one that is larger than any answer.
    """
    if isinstance(node, ast.List):
        return numbers[node.elts[0].value]
    if isinstance(node, ast.UnaryOp):
        return -_worked(node.operand, numbers)
    left, right = _worked(node.left, numbers), _worked(node.right, numbers)
    if isinstance(node.op, ast.Pow):
        if right.denominator > 1 or abs(right) > LONGEST or max(abs(left.numerator), left.denominator) > LONGEST:
            raise ValueError
        return left ** int(right)
    return OPERATORS[type(node.op)](left, right)
