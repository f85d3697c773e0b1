"""Logic puzzles made at random with their solutions, and solutions that one change spoils; by the name of the game."""

import copy
import random
from collections.abc import Callable
from typing import Any, NamedTuple


class Made(NamedTuple):
    """A puzzle.

    Attributes:
        metadata: as SynLogic has it.
        answer: the solution, as a value or, of expressions, as text.
        spoilt: a solution with one change.
    """

    metadata: dict
    answer: Any
    spoilt: Any


def latin(rng: random.Random, size: int) -> list[list[int]]:
    """A Latin square."""
    digits, rows, columns = (rng.sample(range(size), size) for _ in range(3))
    return [[digits[(row + column) % size] + 1 for column in columns] for row in rows]


def changed(rng: random.Random, grid: list[list], others: list) -> list[list]:
    """A grid in which one cell holds another of some values."""
    found = copy.deepcopy(grid)
    row = rng.choice(found)
    place = rng.randrange(len(row))
    row[place] = rng.choice([value for value in others if value != row[place]])
    return found


def blanked(rng: random.Random, grid: list[list], blank) -> list[list]:
    """A grid of which half of the cells are blank."""
    return [[cell if rng.random() < 0.5 else blank for cell in row] for row in grid]


def around(cell: tuple[int, int], corners: bool = True) -> list[tuple[int, int]]:
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0) and (corners or not (i and j))]
    return [(cell[0] + i, cell[1] + j) for i, j in steps]


def sudoku(rng: random.Random) -> Made:
    digits = rng.sample(range(1, 10), 9)
    grid = [[digits[(3 * (i % 3) + i // 3 + j) % 9] for j in range(9)] for i in range(9)]
    return Made({"original_sudoku": blanked(rng, grid, "X")}, grid, changed(rng, grid, digits))


def futoshiki(rng: random.Random) -> Made:
    size = rng.randint(3, 6)
    grid = latin(rng, size)
    pairs = [((i, j), (i, j + 1)) for i in range(size) for j in range(size - 1)]
    signs = [[[*one], [*two], "<" if grid[one[0]][one[1]] < grid[two[0]][two[1]] else ">"] for one, two in pairs]
    told = {"grid_size": size, "constraints": rng.sample(signs, size), "prefilled_coords": [[0, 0], [1, 2]]}
    return Made(told, grid, changed(rng, grid, list(range(1, size + 1))))


def survo(rng: random.Random) -> Made:
    inner = [[rng.randint(1, 9) for _ in range(3)] for _ in range(3)]
    grid = [[*row, sum(row)] for row in inner]
    grid.append([sum(column) for column in zip(*grid, strict=True)])
    empty = rng.sample([(i, j) for i in range(3) for j in range(3)], 4)
    before = [[0 if (i, j) in empty else cell for j, cell in enumerate(row)] for i, row in enumerate(grid)]
    told = {"original_matrix": before, "candidate_numbers": [grid[i][j] for i, j in empty], "n": 4}
    return Made(told, grid, changed(rng, grid, list(range(1, 10))))


def kukurasu(rng: random.Random) -> Made:
    marks = [[rng.randint(0, 1) for _ in range(5)] for _ in range(4)]
    rows = [sum(j * mark for j, mark in enumerate(row, 1)) for row in marks]
    columns = [sum(i * mark for i, mark in enumerate(column, 1)) for column in zip(*marks, strict=True)]
    grid = [["X1"[mark] for mark in row] for row in marks]
    return Made({"row_sums": rows, "col_sums": columns, "n": 4, "m": 5}, grid, changed(rng, grid, ["X", "1"]))


def numbrix(rng: random.Random) -> Made:
    rows = [list(range(4 * i + 1, 4 * i + 5)) for i in range(4)]
    grid = [row[::-1] if i % 2 else row for i, row in enumerate(rows)]
    grid = grid if rng.random() < 0.5 else [list(column) for column in zip(*grid, strict=True)]
    return Made({"grid": blanked(rng, grid, "X")}, grid, changed(rng, grid, list(range(1, 17))))


def seen(heights: list[int]) -> int:
    return sum(height > max(heights[:place], default=0) for place, height in enumerate(heights))


def skyscraper(rng: random.Random) -> Made:
    grid = latin(rng, 4)
    columns = [list(column) for column in zip(*grid, strict=True)]
    told = {
        "n": 4,
        "top": [seen(line) for line in columns],
        "bottom": [seen(line[::-1]) for line in columns],
        "left": [seen(line) for line in grid],
        "right": [seen(line[::-1]) for line in grid],
    }
    return Made(told, grid, changed(rng, grid, [1, 2, 3, 4]))


def stars(rng: random.Random) -> Made:
    chosen = rng.choice([[(0, 1), (1, 3), (2, 0), (3, 2)], [(0, 2), (1, 0), (2, 3), (3, 1)]])
    grid = [[rng.choice("ABCD") for _ in range(4)] for _ in range(4)]
    for name, (i, j) in zip("ABCD", chosen, strict=True):
        grid[i][j] = name
    answer = {name: [(i + 1, j + 1)] for name, (i, j) in zip("ABCD", chosen, strict=True)}
    row, column = answer["A"][0]
    return Made({"n": 4, "k": 1, "region_grid": grid}, answer, answer | {"A": [(row, column % 4 + 1)]})


def campsite(rng: random.Random) -> Made:
    grid, tents = [["X"] * 6 for _ in range(6)], []
    for tent in rng.sample([(i, j) for i in range(6) for j in range(6)], 36):
        free = [(i, j) for i, j in around(tent, False) if 0 <= i < 6 and 0 <= j < 6 and grid[i][j] == "X"]
        if len(tents) < 5 and free and grid[tent[0]][tent[1]] == "X" and not set(around(tent)) & set(tents):
            tents.append(tent)
            grid[tent[0]][tent[1]] = "C"
            i, j = rng.choice(free)
            grid[i][j] = "T"
    told = {
        "grid": [["T" if cell == "T" else "X" for cell in row] for row in grid],
        "row_constraints": [row.count("C") for row in grid],
        "col_constraints": [column.count("C") for column in zip(*grid, strict=True)],
        "n": 6,
        "m": 6,
    }
    return Made(told, grid, changed(rng, grid, ["C", "T"]))


def norinori(rng: random.Random) -> Made:
    dominoes, covered = [], set()
    for cell in rng.sample([(i, j) for i in range(6) for j in range(6)], 36):
        other = rng.choice([(i, j) for i, j in around(cell, False) if 0 <= i < 6 and 0 <= j < 6])
        if not ({*around(cell, False), *around(other, False), cell, other} & covered):
            dominoes.append([cell, other])
            covered |= {cell, other}
    grid = [[rng.choice(range(len(dominoes))) for _ in range(6)] for _ in range(6)]
    for region, domino in enumerate(dominoes):
        for i, j in domino:
            grid[i][j] = region
    answer = [[(i + 1, j + 1) for i, j in domino] for domino in dominoes]
    return Made({"region_grid": grid}, answer, answer[1:])


def minesweeper(rng: random.Random) -> Made:
    mines = sorted(rng.sample([(i, j) for i in range(8) for j in range(8)], 5))
    return Made({"current_mines": [list(mine) for mine in mines]}, mines, mines[1:])


def game_of_24(rng: random.Random) -> Made:
    a, b, c, d = (rng.randint(1, 9) for _ in range(4))
    told = {"numbers": [a, b, c, d], "operators": ["+", "-", "*", "/"], "result": (a + b) * c - d}
    return Made(told, f"({a} + {b}) * {c} - {d}", f"({a} + {b}) * {c} - {d} - 1")


def math_path(rng: random.Random) -> Made:
    a, b, c = (rng.randint(1, 9) for _ in range(3))
    told = {"query_expr": f"? + {b} * ? = {a + b * c}", "ref_expr": f"{a} + {b} * {c} = {a + b * c}"}
    return Made(told, f"[[{a} + {b} * {c} = {a + b * c}]]", f"[[{a % 9 + 1} + {b} * {c} = {a + b * c}]]")


GAMES: dict[str, Callable[[random.Random], Made]] = {
    "campsite": campsite,
    "futoshiki": futoshiki,
    "game_of_24": game_of_24,
    "kukurasu": kukurasu,
    "math_path": math_path,
    "minesweeper": minesweeper,
    "norinori": norinori,
    "numbrix": numbrix,
    "skyscraper_puzzle": skyscraper,
    "star_placement_puzzle": stars,
    "sudoku": sudoku,
    "survo": survo,
}
