"""Which files of the package a module needs, read off its import statements (late imports inside functions too)."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name


def closure(module: str, package: Path = PACKAGE) -> list[Path]:
    """The files that ``python -m module`` can load from the package, in order.

    A package's ``__init__`` counts if it holds more than its docstring.

    Args:
        module: its dotted name, ``orchard.stages.sft``.
        package: the package's folder.
    """
    todo, seen = [_file(f"{module}.__main__", package) or _file(module, package)], set()
    while todo:
        file = todo.pop()
        if file is None or file in seen:
            continue
        seen.add(file)
        todo += [_file(name, package) for name in imported(file, package)]
    return sorted(file for file in seen if not _is_docstring_alone(file))


@functools.cache
def imported(file: Path, package: Path = PACKAGE) -> frozenset[str]:
    """The dotted names of the package's modules that a file imports, and of the packages that they lie in."""
    return frozenset(
        parent
        for name in _names(ast.parse(file.read_text(encoding="utf-8")))
        if name.split(".")[0] == NAME and _file(name, package)
        for parent in _with_parents(name)
    )


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _file(name: str, package: Path) -> Path | None:
    """The file of a module; None for a name that is no module, such as a function's."""
    path = package.joinpath(*name.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _is_docstring_alone(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return file.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)
