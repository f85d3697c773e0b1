"""The rules of a dozen logic puzzles: what is given, and whether an answer solves it.

All are ours, written from the games' rules, and named as in SynLogic (arXiv 2505.19641). Any answer that keeps the
rules is right, whichever the puzzle's maker had in mind; of minesweeper the mines that are certain are given.

An answer is a value of Python (`orchard.tasks.synlogic` reads it). One of another shape raises one of `UNFIT`.
"""

import ast
import itertools
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from orchard.tasks import fields

MOST = 50  # rows, columns and the like; ours: the largest published have a dozen
LONGEST = 300  # characters of an expression; ours
UNFIT = (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, SyntaxError, RecursionError)
AROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
BESIDE = [(i, j) for i, j in AROUND if not (i and j)]
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}

Numbers = Annotated[list[int], Field(min_length=1, max_length=MOST)]
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
Sign = Annotated[
    tuple[Pair, Pair, Literal["<", ">"]], BeforeValidator(lambda each: tuple(each) if isinstance(each, list) else each)
]
Grid = Annotated[
    list[Annotated[list[int | Annotated[str, Field(max_length=9)]], Field(min_length=1, max_length=MOST)]],
    Field(min_length=1, max_length=MOST),
]


class Game(NamedTuple):
    """A puzzle.

    Attributes:
        given: what is told of one.
        solves: whether an answer solves it.
        is_text: whether an answer is a text; else it is a list, a tuple or a mapping.
    """

    given: type[fields.Row]
    solves: Callable[[Any, Any], bool]
    is_text: bool = False


class Sudoku(fields.Row):
    """Numbers 1 to 9, each once in every row, column and box."""

    original_sudoku: Grid


def solves_sudoku(given: Sudoku, answer: Any) -> bool:
    grid = numbers(answer, 9, 9)
    boxes = [
        [grid[i + a][j + b] for a in range(3) for b in range(3)] for i, j in itertools.product((0, 3, 6), repeat=2)
    ]
    return keeps(given.original_sudoku, grid) and is_latin(grid) and all(map(is_whole, boxes))


class Futoshiki(fields.Row):
    """Numbers 1 to n, each once in every row and column, with signs between neighbours.

    Attributes:
        grid_size: n.
        constraints: place, place, and the sign between their numbers; places from 0.
        prefilled: row, column and number of what is filled in.
    """

    grid_size: Annotated[int, Field(ge=1, le=MOST)]
    constraints: Annotated[list[Sign], Field(max_length=MOST**2)]
    prefilled: Annotated[list[Annotated[list[int], Field(min_length=3, max_length=3)]], Field(max_length=MOST**2)]


def solves_futoshiki(given: Futoshiki, answer: Any) -> bool:
    grid = numbers(answer, given.grid_size, given.grid_size)
    compare = {"<": operator.lt, ">": operator.gt}
    signs = all(compare[sign](grid[a][b], grid[c][d]) for (a, b), (c, d), sign in given.constraints)
    return is_latin(grid) and signs and all(grid[row][column] == number for row, column, number in given.prefilled)


class Survo(fields.Row):
    """Numbers to be placed so that the last column and row hold the sums of the others; 0 is empty."""

    original_matrix: Grid
    candidate_numbers: Numbers


def solves_survo(given: Survo, answer: Any) -> bool:
    size, before = len(given.original_matrix), given.original_matrix
    grid = numbers(answer, size, len(before[0]))
    placed = [grid[i][j] for i, row in enumerate(before) for j, cell in enumerate(row) if clue(cell) is None]
    lines = [row for row in grid[:-1]] + [list(column) for column in zip(*grid, strict=True)][:-1]
    return (
        keeps(before, grid)
        and sorted(placed) == sorted(given.candidate_numbers)
        and all(sum(line[:-1]) == line[-1] for line in lines)
    )


class Kukurasu(fields.Row):
    """Cells to be marked: a cell counts its column's number in its row's sum, and its row's number in its column's."""

    row_sums: Numbers
    col_sums: Numbers


def solves_kukurasu(given: Kukurasu, answer: Any) -> bool:
    grid = [[{"1": 1, "X": 0}[str(cell)] for cell in row] for row in answer]
    fits = len(grid) == len(given.row_sums) and all(len(row) == len(given.col_sums) for row in grid)
    return (
        fits
        and [weighed(row) for row in grid] == given.row_sums
        and [weighed(column) for column in zip(*grid, strict=True)] == given.col_sums
    )


class Numbrix(fields.Row):
    """Numbers 1 to n² that form a path from cell to neighbouring cell."""

    grid: Grid


def solves_numbrix(given: Numbrix, answer: Any) -> bool:
    grid = numbers(answer, len(given.grid), len(given.grid[0]))
    places = {cell: (i, j) for i, row in enumerate(grid) for j, cell in enumerate(row)}
    path = [places[number] for number in range(1, sum(map(len, grid)) + 1)]
    is_path = all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in itertools.pairwise(path))
    return keeps(given.grid, grid) and is_path


class Skyscrapers(fields.Row):
    """Heights 1 to n, each once in every row and column; from outside so many are seen, as none stands before them."""

    top: Numbers
    bottom: Numbers
    left: Numbers
    right: Numbers


def solves_skyscrapers(given: Skyscrapers, answer: Any) -> bool:
    grid = numbers(answer, len(given.left), len(given.top))
    columns = [list(column) for column in zip(*grid, strict=True)]
    return (
        is_latin(grid)
        and [seen(column) for column in columns] == given.top
        and [seen(column[::-1]) for column in columns] == given.bottom
        and [seen(row) for row in grid] == given.left
        and [seen(row[::-1]) for row in grid] == given.right
    )


class Stars(fields.Row):
    """k stars in every row, column and region, of which no two touch, not even at a corner."""

    k: Annotated[int, Field(ge=1, le=MOST)]
    region_grid: Grid


def solves_stars(given: Stars, answer: Any) -> bool:
    """Whether a mapping from each region to its stars (row and column, from 1) solves it."""
    grid, named = given.region_grid, [(str(name), place(star)) for name, stars in answer.items() for star in stars]
    stars = [star for _, star in named]
    lines = [Counter(row for row, _ in stars), Counter(column for _, column in stars), Counter(n for n, _ in named)]
    regions = {str(cell) for row in grid for cell in row}
    return (
        len(stars) == len(set(stars)) == given.k * len(grid)
        and all(str(at(grid, star)) == name for name, star in named)
        and [len(line) for line in lines] == [len(grid), len(grid[0]), len(regions)]
        and all(set(line.values()) == {given.k} for line in lines)
        and not touches(stars)
    )


class Campsite(fields.Row):
    """Tents (C), each beside a tree (T) of its own, of which no two touch; each row's and column's number is told."""

    grid: Grid
    row_constraints: Numbers
    col_constraints: Numbers


def solves_campsite(given: Campsite, answer: Any) -> bool:
    grid = [list(row) for row in answer]
    if [len(row) for row in grid] != [len(row) for row in given.grid]:
        return False
    trees, tents = places_of(grid, "T"), places_of(grid, "C")
    return (
        trees == places_of(given.grid, "T")
        and [row.count("C") for row in grid] == given.row_constraints
        and [column.count("C") for column in zip(*grid, strict=True)] == given.col_constraints
        and not touches(tents)
        and len(tents) == len(trees)
        and are_matched(tents, set(trees))
    )


class Norinori(fields.Row):
    """Dominoes that cover two cells of every region, and of which no two share an edge."""

    region_grid: Grid


def solves_norinori(given: Norinori, answer: Any) -> bool:
    """Whether a list of dominoes, each two places (row and column, from 1), solves it."""
    grid, dominoes = given.region_grid, [[place(cell) for cell in domino] for domino in answer]
    covered = {cell: number for number, domino in enumerate(dominoes) for cell in domino}
    regions = Counter(str(at(grid, cell)) for cell in covered)
    return (
        all(len(domino) == 2 and distance(*domino) == 1 for domino in dominoes)
        and len(covered) == 2 * len(dominoes)
        and regions.keys() == {str(cell) for row in grid for cell in row}
        and set(regions.values()) == {2}
        and all(covered.get((a + i, b + j), n) == n for (a, b), n in covered.items() for i, j in BESIDE)
    )


class Minesweeper(fields.Row):
    """Mines that the open numbers make certain: places, from 0."""

    current_mines: Annotated[list[Pair], Field(max_length=MOST**2)]


def solves_minesweeper(given: Minesweeper, answer: Any) -> bool:
    found = [tuple(cell) for cell in answer]
    whole = all(len(cell) == 2 and all(type(part) is int for part in cell) for cell in found)
    return whole and set(found) == {tuple(mine) for mine in given.current_mines}


class GameOf24(fields.Row):
    """A result to be worked out of numbers, each used once, by some operators."""

    numbers: Numbers
    operators: Annotated[list[Literal["+", "-", "*", "/", "%"]], Field(min_length=1)]
    result: int


def solves_24(given: GameOf24, answer: str) -> bool:
    expression = re.sub(r"\s", "", answer).replace("×", "*").replace("÷", "/").partition("=")[0]
    used = [int(number) for number in re.findall(r"\d+", expression)]
    signs = set(re.sub(r"[\d()]", "", expression))
    return sorted(used) == sorted(given.numbers) and signs <= set(given.operators) and worth(expression) == given.result


class MathPath(fields.Row):
    """An equation, with a digit for each question mark."""

    query_expr: Annotated[str, Field(min_length=3, max_length=LONGEST)]


def solves_path(given: MathPath, answer: str) -> bool:
    asked, told = (re.sub(r"\s", "", text) for text in (given.query_expr, answer.strip().strip("[]")))
    pattern = "".join("[0-9]" if sign == "?" else re.escape(sign) for sign in asked)
    left, _, right = told.partition("=")
    return bool(re.fullmatch(pattern, told)) and worth(left) == worth(right)


GAMES = {
    "campsite": Game(Campsite, solves_campsite),
    "futoshiki": Game(Futoshiki, solves_futoshiki),
    "game_of_24": Game(GameOf24, solves_24, is_text=True),
    "kukurasu": Game(Kukurasu, solves_kukurasu),
    "math_path": Game(MathPath, solves_path, is_text=True),
    "minesweeper": Game(Minesweeper, solves_minesweeper),
    "norinori": Game(Norinori, solves_norinori),
    "numbrix": Game(Numbrix, solves_numbrix),
    "skyscraper_puzzle": Game(Skyscrapers, solves_skyscrapers),
    "star_placement_puzzle": Game(Stars, solves_stars),
    "sudoku": Game(Sudoku, solves_sudoku),
    "survo": Game(Survo, solves_survo),
}

# What several games ask


def numbers(answer: Any, rows: int, columns: int) -> list[list[int]]:
    """An answer as a grid of whole numbers.

    Raises:
        ValueError: it is another thing, or of another size.
    """
    grid = [list(row) for row in answer]
    if len(grid) != rows or any(len(row) != columns or any(type(cell) is not int for cell in row) for row in grid):
        raise ValueError
    return grid


def clue(cell: int | str) -> int | None:
    """The number that a cell is given; None where it is empty: 0, X or the like."""
    return (int(cell) or None) if str(cell).isdecimal() else None


def keeps(given: list[list], grid: list[list[int]]) -> bool:
    """Whether a grid has all numbers that are given."""
    pairs = zip(itertools.chain(*given), itertools.chain(*grid), strict=True)
    return all(clue(cell) in (None, number) for cell, number in pairs)


def is_whole(line: Iterable[int]) -> bool:
    """Whether a line has each of the numbers from 1 on once."""
    found = sorted(line)
    return found == list(range(1, len(found) + 1))


def is_latin(grid: list[list[int]]) -> bool:
    """Whether each row and column has each number once."""
    return all(map(is_whole, grid)) and all(map(is_whole, zip(*grid, strict=True)))


def weighed(line: Iterable[int]) -> int:
    """The sum of the places, from 1, of what is marked."""
    return sum(weight * mark for weight, mark in enumerate(line, start=1))


def seen(heights: list[int]) -> int:
    """How many of a line are seen from its beginning."""
    return len(set(itertools.accumulate(heights, max)))


def place(cell: Any) -> tuple[int, int]:
    """A place of an answer, counted from 1, counted from 0."""
    row, column = cell
    if type(row) is not int or type(column) is not int or min(row, column) < 1:
        raise ValueError
    return row - 1, column - 1


def at(grid: list[list], cell: tuple[int, int]) -> int | str:
    """What stands in a cell."""
    return grid[cell[0]][cell[1]]


def places_of(grid: list[list], sign: str) -> list[tuple[int, int]]:
    """Where a sign stands."""
    return [(i, j) for i, row in enumerate(grid) for j, cell in enumerate(row) if cell == sign]


def distance(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Steps from neighbour to neighbour between two cells."""
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def touches(cells: list[tuple[int, int]]) -> bool:
    """Whether two of the cells touch, if only at a corner."""
    known = set(cells)
    return any((a + i, b + j) in known for a, b in cells for i, j in AROUND)


def are_matched(tents: list[tuple[int, int]], trees: set[tuple[int, int]]) -> bool:
    """Whether each tent can have a neighbouring tree of its own (augmenting paths, as Kuhn found)."""
    owner: dict[tuple[int, int], tuple[int, int]] = {}

    def finds(tent: tuple[int, int], tried: set[tuple[int, int]]) -> bool:
        for tree in [(tent[0] + i, tent[1] + j) for i, j in BESIDE]:
            if tree in trees and tree not in tried:
                tried.add(tree)
                if tree not in owner or finds(owner[tree], tried):
                    owner[tree] = tent
                    return True
        return False

    return all(finds(tent, set()) for tent in tents)


def worth(expression: str) -> Fraction:
    """The exact value of an expression of whole numbers and + - * / %.

    Raises:
        SyntaxError, ValueError, KeyError, ZeroDivisionError: it has none.
    """
    if len(expression) > LONGEST:
        raise ValueError
    return _worth(ast.parse(expression, mode="eval").body)


def _worth(node: ast.AST) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_worth(node.operand)
    if not isinstance(node, ast.BinOp):
        raise ValueError
    return OPERATORS[type(node.op)](_worth(node.left), _worth(node.right))
