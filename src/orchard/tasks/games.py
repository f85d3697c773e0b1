"""Games of reasoning-gym (arXiv 2505.24760): questions from a seed, and a scorer that comes with each game."""

import contextlib
import functools
import json
from collections.abc import Iterator
from importlib.metadata import version

from orchard.errors import UserError, shown
from orchard.sandbox.timeout import OutOfTimeError, time_limit
from orchard.tasks import fields
from orchard.tasks.items import Question
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
    "it is made of other games": "composite",
}


@functools.cache
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
    """Up to ``most`` questions as prompt, answer and which question of the game it is; some may be alike."""
    for place in range(most):
        question = {"name": game, "options": options, "seed": seed, "size": most, "place": place}
        entry = _entry(json.dumps(question))
        yield {"prompt": _prompt(entry), "answer": f"<answer>{entry['answer']}</answer>", "game": question}


class Game(Text):
    """A question whose answer stands between tags; the game itself scores it."""

    def score(self, item: dict, response: str) -> float:
        """The game's own score, 0 to 1, of the last answer between the tags; 0 if none is there or it is unreadable.

        Args:
            item: with ``game``: which question of which game it is. The game makes it again: some scorers run parts of
                it as code, so none comes from a file.
            response: any text.

        Raises:
            UserError: the game does not make this question.
        """
        answer, question = answer_of(response), fields.read(Question, item["game"])
        entry = _made_again(question, item["prompt"])
        if answer is None or len(answer) > LONGEST_ANSWER:
            return 0.0
        try:
            with time_limit(SECONDS):
                return min(max(float(_questions(*_set(question)).score_answer(answer, entry)), 0.0), 1.0)
        except (Exception, OutOfTimeError):  # a scorer may stumble over what is no answer at all
            return 0.0


def _made_again(question: Question, prompt: str) -> dict:
    """The question, as the game makes it.

    Raises:
        UserError: the game does not fit, or makes another question there.
    """
    entry = None
    if question.name in games():
        with contextlib.suppress(Exception):  # games check their options by assertions, or stumble over them
            entry = _entry(question.model_dump_json())
    if entry is None or _prompt(entry) != prompt:
        raise UserError(
            found=f"a question of game {question.name!r}, which the game does not make: {shown(prompt)}",
            rule="a question of a game is one that the game makes (data.generate)",
            why="scorers of games run parts of their questions as code",
            fix="make the set anew by `snakemake --cores all`, with the reasoning-gym of requirements-games.lock",
        )
    return entry


def _prompt(entry: dict) -> str:
    return f"Question: {entry['question']}\n{INSTRUCTION}\nAnswer:"


@functools.lru_cache(maxsize=10_000)  # questions: ours, more than a set has
def _entry(question: str) -> dict:
    """What a game makes at a place, and what its scorer reads.

    Args:
        question: which one, as JSON.
    """
    asked = Question.model_validate_json(question)
    return _questions(*_set(asked))[asked.place]


def _set(asked: Question) -> tuple[str, str, int, int]:
    return asked.name, json.dumps(asked.options), asked.seed, asked.size


@functools.lru_cache(maxsize=100)
def _questions(name: str, options: str, seed: int, size: int):
    return open_game(name, json.loads(options), seed, size)


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


def library_version() -> str:
    """The version of the library whose scorers judge."""
    return version("reasoning-gym")


TASKS = {"any": Game()}
