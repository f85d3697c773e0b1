"""dvc.yaml, the rules and the code tell the same story: no edge and no code file is missing or idle."""

import re
from pathlib import Path

import pytest
import yaml

from tests.closure import closure
from tests.project import ROOT, Project

STANZAS = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# What no import statement names: modules that lm-eval loads through a task's YAML, and files that are data.
LOADED_BY_YAML = {"orchard.evaluate": "orchard.evaluate.scoring"}
DATA_FILES = {"orchard.evaluate": ["evaluate/tasks"], "orchard.report": ["report/claims.yaml", "report/report.html.j2"]}


def code_deps(stanza: dict) -> set[str]:
    return {dep for dep in stanza.get("do", stanza)["deps"] if dep.startswith("src/")}


def needed_files(stanza: dict, root: Path = ROOT) -> set[str]:
    module = re.search(r"python -m (\S+)", stanza.get("do", stanza)["cmd"]).group(1)
    files = closure(module, root / "src")
    if module in LOADED_BY_YAML:
        files |= closure(LOADED_BY_YAML[module], root / "src")
    data = {f"src/orchard/{name}" for name in DATA_FILES.get(module, [])}
    return {str(Path(file).relative_to(root)) for file in files} | data


@pytest.mark.parametrize("name", STANZAS)
def test_stage_depends_on_exactly_the_code_it_imports(name):
    assert code_deps(STANZAS[name]) == needed_files(STANZAS[name])
    assert "requirements.lock" in STANZAS[name].get("do", STANZAS[name])["deps"]


def test_a_new_import_is_noticed(tmp_path):
    project = Project.from_working_tree(tmp_path)
    project.edit("src/orchard/prune/__main__.py", "from orchard import stage", "from orchard import costs, stage")
    assert needed_files(STANZAS["prune"], tmp_path) - code_deps(STANZAS["prune"]) == {"src/orchard/costs.py"}


@pytest.fixture(scope="module", params=["studies/smoke.yaml", "studies/smollm2.yaml", "config.yaml"])
def project(request, tmp_path_factory) -> Project:
    """A project of one study, with the files from outside that its config names standing empty in their places."""
    project = Project.from_working_tree(tmp_path_factory.mktemp("graph") / "project", request.param)
    for source in yaml.safe_load((project.folder / "config.yaml").read_text())["data"]["ingest"].values():
        (project.folder / source["path"]).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / source["path"]).touch()
    return project


def test_the_rules_and_dvc_yaml_are_one_graph(project):
    assert rules_graph(project) == dvc_graph(project)


def test_an_edge_taken_out_is_noticed(tmp_path):
    project = Project.from_working_tree(tmp_path / "dvc")
    project.edit("dvc.yaml", "        - ${item.prompts}\n", "")
    assert rules_graph(project) != dvc_graph(project)
    project = Project.from_working_tree(tmp_path / "rules")
    project.edit(
        "rules/prune.smk", 'chosen_on=rerun.made(lambda wildcards: RUNS["prune"][wildcards.run]["chosen_on"]),', ""
    )
    assert rules_graph(project) != dvc_graph(project)


def rules_graph(project: Project) -> dict[str, set[str]]:
    """Output to inputs of every job that Snakemake would start if nothing were there."""
    done = project.run("snakemake", "-n", "--forceall", "--workflow-profile", "none", "--cores", "1")
    graph = {}
    for block in re.split(r"\n(?=rule )", done.stdout + done.stderr):
        output = re.search(r"^    output: (.*)", block, re.M)
        if block.startswith("rule ") and output:
            inputs = re.search(r"^    input: (.*)", block, re.M)
            graph[output.group(1)] = {name for name in inputs.group(1).split(", ") if not name.startswith(".dvc/")}
    return graph


def dvc_graph(project: Project) -> dict[str, set[str]]:
    """Output to inputs of every DVC stage, without code files; a folder stands for the outputs in it."""
    from dvc.repo import Repo

    with Repo(str(project.folder)) as repo:
        stages = {stage.outs[0].def_path: {dep.def_path for dep in stage.deps} for stage in repo.index.stages}
    graph = {}
    for out, deps in stages.items():
        graph[out] = set()
        for dep in deps - {"config.yaml", "requirements.lock", "requirements-games.lock"}:
            inside = {other for other in stages if other.startswith(f"{dep}/")}
            if not dep.startswith("src/"):
                graph[out] |= inside or {dep}
    return graph


def test_snakemakes_linter_has_one_reasoned_complaint():
    """No rule names a conda environment or container: requirements.lock pins the whole environment for every stage."""
    project = Project(ROOT)
    said = project.run("snakemake", "--lint", ok=False)
    complaints = re.findall(r"^ {4}\* (.+?):?$", said.stdout + said.stderr, re.M)
    assert set(complaints) == {"Specify a conda environment or container for each rule."}
