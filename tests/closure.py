"""Which files of the package a module needs, read off its import statements (late imports inside functions too)."""

import ast
from pathlib import Path

SRC = Path("src")


def closure(module: str, root: Path = SRC) -> set[str]:
    """The files that running ``python -m module`` can load from the package, without empty ``__init__`` files."""
    todo, seen = [_file(f"{module}.__main__", root) or _file(module, root)], set()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        todo += [found for name in _imported(file) if (found := _file(name, root)) and found not in seen]
    return {str(file) for file in seen}


def _imported(file: Path):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(name: str, root: Path) -> Path | None:
    path = root / Path(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file() and file.read_text().strip():
            return file
    return None
