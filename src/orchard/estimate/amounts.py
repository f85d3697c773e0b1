"""How much a study's stages have to do: rows of its sets, and tokens of responses, measured where results are here."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from orchard import jsonl, paths
from orchard.study import files
from orchard.study.schema.data import GameSet, Ingest, PretrainSet, PromptSet
from orchard.study.schema.study import Study

FOLDER = 8  # files of a folder that is not here: ours, as many as the studies here take of BLiMP
ROWS = 1000  # of a file that is not here and has no limit: ours, the size of a usual test set
MANY = 100  # outputs that are read for the length of responses: ours, enough for a mean within some per cent


class Text(NamedTuple):
    """The tokens of a usual row: what is asked, and what is answered."""

    prompt: int
    answer: int


# Of the formats of `data.ingest`, roughly, by a tokenizer of 50,000 words: only for files that are not here.
TYPICAL = {
    "gsm8k": Text(70, 133),
    "math": Text(90, 250),
    "bbh": Text(30, 2),
    "blimp": Text(1, 9),
    "humaneval": Text(150, 80),
    "humanevalplus": Text(150, 80),
    "mbpp": Text(60, 60),
    "mbppplus": Text(60, 60),
    "xsum": Text(450, 30),
    "arc": Text(35, 6),
    "dolci": Text(200, 600),
    "synthetic-2-sft": Text(200, 3000),
    "synthetic-2-rl": Text(200, 20),
    "synlogic": Text(400, 60),
    "columns": Text(200, 400),
    "jsonl": Text(200, 400),
}


class Rows(NamedTuple):
    """A set of items as stages read it.

    Attributes:
        path: of the set, in the study.
        made: what makes it; None of a file that is none of the study's sets.
        count: its rows.
        is_real: whether it can be made here, from code or from files that are here.
    """

    path: str
    made: Ingest | GameSet | PretrainSet | PromptSet | None
    count: int
    is_real: bool


def sets(study: Study) -> dict[str, Rows]:
    """The sets of a study, by their path."""
    return {path: _rows(study, path, made) for path, made in files.data_sets(study.data).items()}


def _rows(study: Study, path: str, made: Ingest | GameSet | PretrainSet | PromptSet) -> Rows:
    is_real = not isinstance(made, Ingest) or Path(made.path).exists()
    if (most := files.most_rows(study.data, path)) is not None:
        return Rows(path, made, most, is_real)
    source = Path(made.path)
    count = len(list(source.iterdir())) if source.is_dir() else 1 if source.suffix else FOLDER
    return Rows(path, made, count * (made.limit or ROWS), is_real)


def count(study: Study, path: str) -> int:
    """The rows of a set, or of all sets of a folder."""
    known = sets(study)
    if path in known:
        return known[path].count
    inside = [each.count for name, each in known.items() if name.startswith(f"{path}/")]
    return sum(inside) or files.most_rows(study.data, path) or ROWS


# Tokens of responses


class Length(NamedTuple):
    """How long the responses of a kind of stage are.

    Attributes:
        mean: in tokens.
        most: what max_new_tokens lets them be.
        origin: where the mean is from, in words.
    """

    mean: float
    most: int
    origin: str

    @property
    def share(self) -> float:
        """Of the longest."""
        return self.mean / self.most


def length(found: Iterable[float], most: int, origin: str) -> Length:
    """The mean of what results say; the maximum where there are none."""
    values = list(found)
    if not values:
        return Length(most, most, "assumed: the maximum")
    return Length(min(most, sum(values) / len(values)), most, f"measured: {origin}")


def of_responses(names: Iterable[str], most: int) -> Length:
    """Of a model author's responses to the recovery prompts, by the names of their files."""
    here = [path for name in names if (path := paths.responses(name)).is_file()][:MANY]
    rows = [len(row["completion_ids"]) for path in here for row in jsonl.read(path) if "completion_ids" in row]
    return length(rows, most, "data/responses")


def of_policy(name: str, most: int) -> Length:
    """Of a behaviour policy that is a model."""
    facts = _json(paths.behaviour(name) / "statistics.json")
    return length([facts["mean_tokens"]] if "mean_tokens" in facts else [], most, str(paths.behaviour(name)))


def of_rl(names: Iterable[str], most: int) -> Length:
    """Of the responses of RL, by the names of its runs."""
    courses = [_json(paths.model(f"rl-{name}") / "record.json").get("curve", []) for name in names]
    found = [step["length"] for course in courses[:MANY] for step in course if "length" in step]
    return length(found, most, "records of RL")


def of_task(title: str, models: Iterable[str], most: int) -> Length:
    """Of the responses to a task of the evaluation."""
    return length(_lengths(title, models), most, str(paths.EVALUATIONS))


def _lengths(title: str, models: Iterable[str]) -> Iterator[float]:
    import pandas

    here = [file for model in models if (file := paths.evaluation(model) / "samples.parquet").is_file()]
    for file in here[:MANY]:
        samples = pandas.read_parquet(file, columns=["task", "tokens"])
        for tokens in samples.loc[samples["task"] == title, "tokens"]:
            yield from (len(ids) for ids in json.loads(tokens))


def _json(file: Path) -> dict:
    return json.loads(file.read_text()) if file.is_file() else {}
