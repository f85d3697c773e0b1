"""What can be wrong with a program: a closed list, so that no name of a program's own gets into a table or a figure."""

import builtins

SYNTAX, BRACKETS, WRONG = "syntax error", "unbalanced brackets", "wrong answer"
OUT_OF_MEMORY, OUT_OF_TIME, TOO_MUCH = "out of memory", "out of time", "too much output"
ENDED_EARLY, OTHER = "ended early", "other exception"
UNSUPPORTED, NOT_TESTED = "test not supported", "not tested"
OWN = (SYNTAX, BRACKETS, WRONG, OUT_OF_MEMORY, OUT_OF_TIME, TOO_MUCH, ENDED_EARLY, OTHER, UNSUPPORTED, NOT_TESTED)

EXCEPTIONS = {name: each for name, each in vars(builtins).items() if isinstance(each, type)}
EXCEPTIONS = {name: each for name, each in EXCEPTIONS.items() if issubclass(each, BaseException)}
LIBRARY = ("InvalidOperation", "JSONDecodeError", "StatisticsError", "gaierror")  # of Python's library, met in programs
BASES = ("Exception", "BaseException")  # what every exception is, so they say nothing of one that is derived
RENAMED = {
    "AssertionError": WRONG,
    "IndentationError": SYNTAX,
    "MemoryError": OUT_OF_MEMORY,
    "OutOfTime": OUT_OF_TIME,  # raised where the CPU time is up (`orchard.sandbox.confine`)
    "SyntaxError": SYNTAX,
    "SystemExit": ENDED_EARLY,
    "TabError": SYNTAX,
}
KINDS = frozenset({*OWN, *EXCEPTIONS, *LIBRARY} - {*RENAMED})


def of_exception(names: list[str]) -> str:
    """The kind of an exception.

    Args:
        names: of its class and of all that this is derived from, itself first. An exception of the program's own counts
            as the nearest one that Python knows.
    """
    known = [name for name in names if name in RENAMED or name in EXCEPTIONS or name in LIBRARY]
    if not known or (known[0] != names[0] and known[0] in BASES):
        return OTHER
    return RENAMED.get(known[0], known[0])


def names_of(exception: BaseException) -> list[str]:
    """The name of an exception's class, and those of all that this is derived from."""
    return [each.__name__ for each in type(exception).__mro__]
