"""The house's plan: who imports whom. No circle on any floor, and each package imports what its docstring allows.

`pytest -s tests/test_imports.py` prints the plan.
"""

import ast
import re
from pathlib import Path

import networkx
import pytest

from orchard import imports

PACKAGES = sorted(file.parent for file in imports.PACKAGE.rglob("__init__.py"))


def floor(package: Path) -> networkx.DiGraph:
    """The modules and subpackages that stand right in a package, with an arrow from each to those it imports."""
    prefix, graph = f"{dotted(package / '__init__.py')}.", networkx.DiGraph()
    for file in package.rglob("*.py"):
        room = _room(dotted(file), prefix)
        if room:
            graph.add_node(room)
            others = {_room(name, prefix) for name in imports.imported(file)} - {room, None}
            graph.add_edges_from((room, other) for other in others)
    return graph


def allowed(package: Path) -> set[str]:
    """What the line `Imports:` of a package's docstring names: rooms on the floor that it stands on."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    line = re.search(r"^Imports: ([^.]*)\.$", text, re.M | re.S)
    return set(re.split(r",\s*", line[1])) - {"nothing"} if line else set()


def dotted(file: Path) -> str:
    """The name of the module of a file, or of the package in a folder."""
    parts = file.relative_to(imports.PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(name: str, prefix: str) -> str | None:
    return name.removeprefix(prefix).split(".")[0] if name.startswith(prefix) else None


@pytest.mark.parametrize("package", PACKAGES, ids=dotted)
def test_no_floor_has_a_circle(package):
    graph = floor(package)
    print(f"\n{dotted(package)}")
    for room in sorted(graph):
        print(f"  {room} → {', '.join(sorted(graph.successors(room))) or 'nothing'}")
    assert not list(networkx.simple_cycles(graph))


@pytest.mark.parametrize("package", PACKAGES[1:], ids=dotted)
def test_a_package_imports_exactly_what_its_docstring_allows(package):
    room = package.name
    assert set(floor(package.parent).successors(room)) == allowed(package)


@pytest.mark.parametrize("package", PACKAGES[1:], ids=dotted)
def test_a_package_opens_with_its_question(package):
    first = (ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or "").partition("\n")[0]
    assert first
    assert not first.startswith("Imports")


def test_no_test_file_imports_from_another():
    tests = Path(__file__).parent
    for file in tests.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in modules if ".test_" in f".{name}"], file
