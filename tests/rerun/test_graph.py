"""dvc.yaml is the one graph: the rules take it over, and its code dependencies are what the stages import."""

import json
import re
from pathlib import Path

import pytest

from orchard import imports, yamls
from orchard.lineage import graph
from tests.helpers.project import ROOT, Project

STUDIES = ["smoke", "smollm2", "default"]
GRAPH = (ROOT / "dvc.yaml").read_text()
FAMILIES = yamls.loads(GRAPH)["stages"]


def test_code_dependencies_are_what_the_stages_import():
    assert graph.with_code_deps(GRAPH) == GRAPH, "stale: run `orchard graph --write`"


def test_every_family_depends_on_its_module_and_the_pinned_libraries():
    for name, family in FAMILIES.items():
        stage = family.get("do", family)
        module = re.match(r"python -m (\S+)", stage["cmd"])[1]
        assert module == f"orchard.stages.{name}"
        path = f"src/{module.replace('.', '/')}"
        assert {f"{path}.py", f"{path}/__main__.py"} & set(stage["deps"])
        assert "requirements.lock" in stage["deps"]


def test_a_new_import_is_noticed_and_written(tmp_path):
    project = Project.from_working_tree(tmp_path)
    assert project.orchard("graph").returncode == 0
    project.edit("src/orchard/stages/mix.py", "import random\n", "import random\n\nfrom orchard.tasks import lexicon\n")
    assert "`orchard graph --write`" in project.orchard("graph", ok=False).stdout
    project.orchard("graph", "--write")
    old, new = GRAPH.splitlines(), (project.folder / "dvc.yaml").read_text().splitlines()
    assert [line for line in new if line not in old or new.count(line) > old.count(line)] == [
        "        - src/orchard/tasks/lexicon.py"
    ] * (new.count("        - src/orchard/tasks/lexicon.py"))
    assert len(new) == len(old) + 1
    assert project.orchard("graph").returncode == 0


def test_a_file_beside_a_module_is_a_dependency(tmp_path):
    package = tmp_path / "src/orchard"
    for name, text in {
        "__init__.py": '"""."""\n',
        "a/__init__.py": '"""."""\n',
        "a/b.py": "from orchard.c import d\nimport os\n",
        "a/table.csv": "",
        "a/tasks/one.yaml": "",
        "c.py": "import orchard.e.f\n",
        "e/__init__.py": "X = 1\n",
        "e/f.py": "",
        "e/unused.py": "",
        "g.py": "",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert list(graph.code_of("orchard.a.b", package)) == [
        f"src/orchard/{name}" for name in ("a/b.py", "a/table.csv", "a/tasks", "c.py", "e/__init__.py", "e/f.py")
    ]
    assert imports.imported(package / "a/b.py", package) == {"orchard", "orchard.c"}


@pytest.fixture(scope="module", params=STUDIES)
def project(request, tmp_path_factory) -> Project:
    """A project of one study, with files of made-up rows in the places of those from outside that it names."""
    project = Project.from_working_tree(tmp_path_factory.mktemp("graph") / "project", "smoke")
    for source in yamls.read(ROOT / f"studies/{request.param}.yaml")["data"].get("ingest", {}).values():
        write_rows(project.folder / source["path"], source["format"])
    project.orchard("use", request.param)
    return project


def write_rows(path: Path, form: str) -> None:
    """Writes 200 rows, each another, as a benchmark's file; of BLiMP, as a file in a folder."""
    file = path / "one.jsonl" if form == "blimp" else path
    rows = [
        {
            "blimp": {"sentence_good": f"Good {n}.", "sentence_bad": f"Bad {n}.", "UID": "one"},
            "gsm8k": {"question": f"{path.stem} {n}?", "answer": f"#### {n}"},
            "bbh": {"input": f"Is {n} even?", "target": "no" if n % 2 else "yes"},
        }[form]
        for n in range(200)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps({"examples": rows}) if form == "bbh" else "".join(json.dumps(row) + "\n" for row in rows)
    )


def test_snakemake_schedules_the_graph_of_dvc(project):
    assert rules_graph(project) == dvc_graph(project)


def rules_graph(project: Project) -> dict[str, set[str]]:
    """Output to inputs of every job that Snakemake would start if nothing were there."""
    done = project.run("snakemake", "-n", "--forceall", "--workflow-profile", "none", "--cores", "1")
    jobs = {}
    for block in re.split(r"\n(?=rule )", done.stdout + done.stderr):
        output = re.search(r"^    output: (.*)", block, re.M)
        if block.startswith("rule ") and output:
            inputs = re.search(r"^    input: (.*)", block, re.M)
            jobs[output[1]] = set(inputs[1].split(", ")) if inputs else set()
    return jobs


def dvc_graph(project: Project) -> dict[str, set[str]]:
    """Output to inputs of every DVC stage, without code files.

    A folder stands for the outputs in it, and a file in an output for that output.
    """
    from dvc.repo import Repo

    with Repo(str(project.folder)) as repo:
        stages = {stage.outs[0].def_path: {dep.def_path for dep in stage.deps} for stage in repo.index.stages}
    found = {}
    for out, deps in stages.items():
        found[out] = set()
        for dep in deps - {"params.yaml", "requirements.lock", "requirements-games.lock"}:
            inside = {other for other in stages if other.startswith(f"{dep}/")}
            around = {other for other in stages if dep.startswith(f"{other}/")}
            if not dep.startswith("src/"):
                found[out] |= inside or around or {dep}
    return found


def test_snakemakes_linter_has_one_reasoned_complaint():
    """No rule names a conda environment or container: requirements.lock pins the whole environment for every stage."""
    project = Project(ROOT)
    done = project.run("snakemake", "--lint", ok=False)
    complaints = re.findall(r"^ {4}\* (.+?):?$", done.stdout + done.stderr, re.M)
    assert set(complaints) == {"Specify a conda environment or container for each rule."}
