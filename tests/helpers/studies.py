"""The default study as plain Python, and edits of it."""

import copy
from pathlib import Path

from orchard import paths, yamls
from orchard.study.schema.study import Study
from tests.helpers.project import ROOT

GONE = object()
DEFAULT = yamls.read(ROOT / "studies/default.yaml")
DEFAULT["artifacts"] = dict.fromkeys(DEFAULT["artifacts"])  # they name models that edited studies may not make
DEFAULT["evaluate"]["suites"] = None  # likewise
WHOLE = Study.model_validate(DEFAULT).model_dump()  # with all defaults in place


def edited(changes: dict, tree: dict = DEFAULT) -> dict:
    """A study with dotted keys set, or removed where the value is GONE."""
    tree = copy.deepcopy(tree)
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        place = tree
        for key in path:
            place = place.setdefault(key, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return tree


def write_params(changes: dict | None = None, folder: Path = Path()) -> None:
    """Writes the default study, edited, as params.yaml, which stages read."""
    (folder / paths.PARAMS).write_text(yamls.dumps(edited(changes or {}, WHOLE)))
