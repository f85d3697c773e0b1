"""dvc.yaml, the rules and the code tell the same story: no edge and no code file is missing or idle."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.closure import closure

STANZAS = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
# Loaded by lm-eval through a task's YAML, so no import statement names it.
LOADED_BY_YAML = {"evaluate": "orchard.evaluate.scoring"}


def code_deps(stanza: dict) -> set[str]:
    return {dep for dep in stanza.get("do", stanza)["deps"] if dep.startswith("src/")}


def needed_files(stanza: dict) -> set[str]:
    module = re.search(r"python -m (\S+)", stanza.get("do", stanza)["cmd"]).group(1)
    files = closure(module)
    for family, extra in LOADED_BY_YAML.items():
        if module == f"orchard.{family}":
            files |= closure(extra) | {f"src/orchard/{family}/tasks"}
    return files


@pytest.mark.parametrize("name", STANZAS)
def test_stage_depends_on_exactly_the_code_it_imports(name):
    assert code_deps(STANZAS[name]) == needed_files(STANZAS[name])
    assert "requirements.lock" in STANZAS[name].get("do", STANZAS[name])["deps"]
