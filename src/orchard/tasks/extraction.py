r"""Which part of a response is the program that was asked for, in the forms in which chat and base models write it.

The first of these that defines the function asked for is taken:

1. a rest: where the prompt began the function and the response goes on indented, it is prompt and rest;
2. the blocks of code between fences (```` ``` ```` or ``~~~``, as CommonMark has them) that are marked as Python or not
   at all, then all blocks: one after the other, so that helpers count, and of several drafts the last;
3. without fences, all stretches of lines between prose that begin as code does;
4. a block, or else the response, as the function's body, in whatever indentation.

Of a block, what would run rather than define is left out: assertions, ``if __name__ == …``, calls of the function asked
for, ``print`` and ``input``, and what uses their results. What the prompt imports and defines before the function comes
first, as few models repeat it.
"""

import ast
import functools
import itertools
import re
import textwrap
import warnings

LONGEST = 50_000  # characters, the last ones count; ours: longer than any solution, and read within a second or two
OPENING = re.compile(r"^([ \t]*)(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
PYTHON = re.compile(r"\{?\.?(?:i?python|py)\d*(?:[\s,:}].*)?", re.IGNORECASE)  # what stands behind the opening fence
CODE = r"(?:async def |def |class |@\w|import \w|from [\w.]+ import |#|[A-Za-z_]\w*(?:: [^=\n]{1,80})? {0,4}=(?!=))"
STRETCH = re.compile(rf"^{CODE}.*(?:\n(?:[ \t].*|[ \t]*|[)\]}}].*|else:.*|{CODE}.*)$)*", re.MULTILINE)
AFTER = re.compile(rf"^(?=\S)(?!{CODE})", re.MULTILINE)  # the first line that is not indented and defines nothing
RUNS = {"print", "input", "exit", "quit"}
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def program_of(prompt: str, name: str, response: str) -> str:
    """The program of a response.

    Args:
        prompt: the beginning of the function, or nothing where the response is to write it whole.
        name: of the function that is asked for.
        response: any text.
    """
    response = response.replace("\r\n", "\n").replace("\u00a0", " ").removeprefix("\ufeff")[-LONGEST:]
    blocks = fenced(response)
    ways = [
        lambda: prompt and rest(prompt, response),
        lambda: whole(prompt, name, [block for mark, block in blocks if not mark or PYTHON.fullmatch(mark)]),
        lambda: whole(prompt, name, [block for _, block in blocks]),
        lambda: whole(prompt, name, [] if blocks else [found[0] for found in STRETCH.finditer(response)]),
        lambda: prompt and body(prompt, [*(block for _, block in blocks), response]),
    ]
    return next(filter(None, (way() for way in ways)), None) or unread(prompt, name, response, blocks)


def fenced(response: str) -> list[tuple[str, str]]:
    """The fenced blocks of a response, each with what stands behind its opening fence; the last may be open."""
    found, place = [], 0
    while opening := OPENING.search(response, place):
        fence, begin = opening[2], min(opening.end() + 1, len(response))
        closing = re.compile(rf"^[ \t]{{0,{len(opening[1]) + 3}}}{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
        ends = [(end.start(), end.end()) for end in itertools.islice(closing.finditer(response, begin), 10)]
        ends = ends or [(len(response), len(response))]
        # A fence may stand in a docstring too, so the block ends at the first one that leaves it whole.
        whole_at = (end for end in ends if parsed(textwrap.dedent(response[begin : end[0]])))
        end, place = next(whole_at, ends[0])
        found.append((opening[3].strip(), textwrap.dedent(response[begin:end])))
    return found


def rest(prompt: str, response: str) -> str | None:
    """Prompt and response, where this goes on indented; up to the first line that is not and defines nothing."""
    if not re.match(r"(?:[ \t]*\n)*[ \t]+\S", response):
        return None
    end = AFTER.search(response)
    program = prompt + (response[: end.start()] if end else response)
    return program if parsed(program) else None


def whole(prompt: str, name: str, blocks: list[str]) -> str | None:
    """All blocks as one program, if they define the function asked for."""
    found = [module for module in map(parsed_from_above, blocks) if module]
    if not any(name in defined(node) for module in found for node in module.body):
        return None
    kept = [node for module in found for node in _definitions(module, name)]
    first = [node for node in kept if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    beginning = re.split(rf"^(?:@.*\n)*(?:async )?(?:def|class) +{re.escape(name)}\b", prompt, flags=re.MULTILINE)[0]
    parts = [unparsed(first), beginning, unparsed([node for node in kept if node not in first])]
    return "\n".join(filter(None, parts)) + "\n"


def body(prompt: str, blocks: list[str]) -> str | None:
    """The prompt with the first block that is the function's body: indented, not at all, or but for its first line."""
    for block in blocks:
        end = AFTER.search(block, re.match(r"\s*.*", block).end())
        for text in (block, block[: end.start()] if end else block):
            for inner in (text, textwrap.indent(text, "    "), f"    {text.lstrip()}"):
                if inner.strip() and parsed(prompt + inner):
                    return prompt + inner
    return None


def unread(prompt: str, name: str, response: str, blocks: list[tuple[str, str]]) -> str:
    """What is run of a response in which no way finds the function: Python says what is wrong with it."""
    holding = [block for _, block in blocks if re.search(rf"\b{re.escape(name)}\b", block)]
    text = (holding or [block for _, block in blocks] or [response])[-1]
    return text if re.search(rf"^(?:async )?def +{re.escape(name)}\b", text, re.MULTILINE) else prompt + text


@functools.lru_cache(maxsize=64)  # the ways look at the same blocks
def parsed(text: str) -> ast.Module | None:
    """A program's syntax tree; None for what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that will be errors one day
            module = ast.parse(text)
            compile(module, "program", "exec", dont_inherit=True)  # it alone sees a `return` outside of a function
            return module
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parsed_from_above(block: str) -> ast.Module | None:
    """The syntax tree of a block, or of what is left when its last lines are cut off at most 20 times."""
    for _ in range(20):
        if module := parsed(block):
            return module
        block = block[: max(0, *(line.start() for line in re.finditer(r"^\S", block, re.MULTILINE)), 0)]
    return None


def unparsed(nodes: list[ast.stmt]) -> str:
    """The source of statements."""
    return ast.unparse(ast.Module(nodes, []))


def defined(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a program defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _definitions(module: ast.Module, name: str) -> list[ast.stmt]:
    """The statements of a program without those that run rather than define."""
    kept, left_out = [], RUNS | {name, "__name__"}
    for node in module.body:
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
        if isinstance(node, DEFINES) or not (isinstance(node, ast.Assert) or used & left_out):
            kept.append(node)
        else:
            left_out = left_out | defined(node)
    return kept
