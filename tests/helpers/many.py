"""A study of many small stages."""

from pathlib import Path

from tests.helpers.project import Project

SET = "    set-{0:03}: {{role: eval, seed: {1}, items: 4, mix: {{calc: 1.0}}, steps: [3, 6]}}\n"


def with_sets(folder: Path, count: int) -> tuple[Project, list[str]]:
    """The smoke study with many more sets to generate, and their files."""
    project = Project.from_working_tree(folder)
    sets = "".join(SET.format(n, 1000 + n) for n in range(count))
    (project.folder / "config.yaml").write_text(f"extends: smoke\ndata:\n  generate:\n{sets}")
    project.orchard("check")
    return project, [f"data/eval/set-{n:03}.jsonl" for n in range(count)]
