"""Games of reasoning-gym (arXiv 2505.24760): questions from a seed, and a scorer that comes with each game."""

import functools
import json
from collections.abc import Iterator
from importlib.metadata import version

from orchard.errors import UserError
from orchard.sandbox.timeout import OutOfTimeError, time_limit
from orchard.tasks.text import Text

OPENS, CLOSES = "<answer>", "</answer>"
INSTRUCTION = f"Write the final answer between {OPENS} and {CLOSES}."
LONGEST_ANSWER = 2000  # characters
SECONDS = 10
SET_BY_ORCHARD = {"seed", "size"}
UNFIT = {
    "other questions in each process (they follow Python's hash seed)": (
        "codeio isomorphic_strings knight_swap list_functions polynomial_multiplication ransom_note word_ladder"
    ),
    "the scorer runs the response as Python code": (
        "binary_matrix countdown intermediate_integration n_queens puzzle24 simple_integration spiral_matrix"
        " string_insertion"
    ),
    "the scorer does not accept the game's own answer, or there is none": (
        "arc_agi boxnet graph_color propositional_logic rearc rubiks_cube rush_hour"
    ),
    "it makes every question at once, in minutes": "acre",
    "its questions cannot be stored as JSON": "gsm_symbolic",
    "it is made of other games": "composite",
}


def games() -> dict[str, list[str]]:
    """The games that fit, each with the options that it knows."""
    from dataclasses import fields

    try:
        import reasoning_gym  # noqa: F401  (fills the register)
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise UserError(
            found="a game, without the package reasoning-gym",
            rule="games are installed apart",
            why="parts of it are built by a C compiler, which not every machine has",
            fix="run `make games`",
        ) from None
    return {
        name: [field.name for field in fields(config) if field.name not in SET_BY_ORCHARD]
        for name, (_, config) in DATASETS.items()
        if not why_unfit(name)
    }


def why_unfit(game: str) -> str | None:
    """Why a game is left out; None if it is not."""
    return next((reason for reason, names in UNFIT.items() if game in names.split()), None)


def refusal(game: str, options: dict) -> str | None:
    """What a game itself says against its options; None if it takes them."""
    try:
        open_game(game, options)
    except Exception as error:  # games check their options by assertions, or stumble over them
        return str(error) or type(error).__name__
    return None


def open_game(game: str, options: dict, seed: int = 0, size: int = 1):
    """A reasoning-gym data set of ``size`` questions, each made when it is asked for."""
    import reasoning_gym

    return reasoning_gym.create_dataset(game, seed=seed, size=size, **options)


def sample(game: str, options: dict, seed: int, most: int) -> Iterator[dict]:
    """Up to ``most`` questions as prompt, answer and, as JSON, what the scorer needs; some may be alike."""
    questions = open_game(game, options, seed, most)
    for number in range(most):
        entry = {key: questions[number][key] for key in ("question", "answer", "metadata")}
        yield {
            "prompt": f"Question: {entry['question']}\n{INSTRUCTION}\nAnswer:",
            "answer": f"<answer>{entry['answer']}</answer>",
            "game": json.dumps({"name": game, "options": options, "entry": entry}),
        }


class Game(Text):
    """A question whose answer stands between tags; the game itself scores it."""

    def score(self, item: dict, response: str) -> float:
        """The game's own score, 0 to 1, of the last answer between the tags; 0 if none is there or it is unreadable.

        Args:
            item: with ``game``: JSON with the game's name, its options and the entry that the question came from.
            response: any text.
        """
        answer = answer_of(response)
        if answer is None or len(answer) > LONGEST_ANSWER:
            return 0.0
        game = json.loads(item["game"])
        scorer = _scorer(game["name"], json.dumps(game["options"]))
        try:
            with time_limit(SECONDS):
                return min(max(float(scorer(answer, game["entry"])), 0.0), 1.0)
        except (Exception, OutOfTimeError):  # a scorer may stumble over what is no answer at all
            return 0.0


def answer_of(response: str) -> str | None:
    """What stands between the last pair of tags; None if there is none.

    It reads what `reasoning_gym.utils.extract_answer` reads, whose regular expression takes minutes for a response that
    opens the tag ten thousand times and never closes it.
    """
    answer, place = None, response.find(OPENS)
    while place >= 0 and (end := response.find(CLOSES, place)) >= 0:
        answer = response[place + len(OPENS) : end].strip()
        place = response.find(OPENS, end)
    return answer


@functools.cache
def _scorer(name: str, options: str):
    return open_game(name, json.loads(options)).score_answer


def library_version() -> str:
    """The version of the library whose scorers judge."""
    return version("reasoning-gym")


TASKS = {"any": Game()}
