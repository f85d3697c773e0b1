"""Which code judges which task: a changed verifier changes the sets of its task, and of no other."""

import json
import shutil
import subprocess
import sys

import pytest

from orchard import jsonl
from orchard.errors import UserError
from orchard.tasks import formats, generated, registry
from orchard.tasks.task import Task
from tests.helpers.project import ROOT

NAMES = [*registry.MODULES, "bbh-navigate", "anything"]
EDITS = {  # an edited file, and the tasks whose code it is
    "tasks/calc.py": {"calc", "calc-step", "english-arithmetic"},
    "tasks/words.py": {"brackets", "fact", "cmp"},
    "tasks/mathematics.py": {"math"},
    "tasks/gsm8k.py": {"gsm8k"},
    "tasks/extraction.py": {"program"},
    "tasks/quantities.py": set(NAMES) - {"program"},
    "sandbox/seccomp.py": {"program"},
    "sandbox/timeout.py": {"math"},
    "tasks/task.py": set(NAMES),
    "tasks/registry.py": set(),
    "tasks/generated.py": set(),
    "errors.py": set(),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_task_can_be_loaded(name):
    assert isinstance(registry.load(name), Task)
    assert len(registry.code(name)) == 16


def test_generated_tasks_and_those_of_files_are_registered():
    assert {*generated.TASKS} <= {*registry.MODULES}
    assert {*formats.TASKS} - {"any"} <= {*registry.MODULES}


def codes(package) -> dict[str, str]:
    code = (
        f"import json; from orchard.tasks import registry; print(json.dumps({{n: registry.code(n) for n in {NAMES}}}))"
    )
    return json.loads(subprocess.check_output([sys.executable, "-c", code], env={"PYTHONPATH": str(package.parent)}))


def test_an_edit_changes_the_code_of_the_tasks_that_it_judges(tmp_path):
    package = tmp_path / "src/orchard"
    shutil.copytree(ROOT / "src/orchard", package, ignore=shutil.ignore_patterns("__pycache__"))
    before = codes(package)
    for name, expected in EDITS.items():
        text = (package / name).read_text()
        (package / name).write_text(f"{text}\n# an edit\n")
        after = codes(package)
        assert {task for task in NAMES if before[task] != after[task]} == expected, name
        (package / name).write_text(text)


def test_items_of_other_code_are_refused(tmp_path):
    path, item = tmp_path / "set.jsonl", {"id": "1", "task": "cmp", "prompt": "cmp 1 2 :", "answer": "less"}
    jsonl.write(path, registry.stamped([item]))
    assert registry.read(path) == [item | {"task_code": registry.code("cmp")}]
    for other in (item, item | {"task_code": "0" * 16}):
        jsonl.write(path, [other])
        with pytest.raises(UserError, match=r"items of task 'cmp' that were made with other code"):
            registry.read(path)
