"""What the repository publishes: the cheapest outputs of its study, made anew in a clone, are those of dvc.lock."""

from orchard import yamls
from orchard.lineage import lock
from tests.helpers.project import ROOT, Project

PUBLISHED = lock.read(ROOT / "dvc.lock")


def first(family: str) -> str:
    """The first stage of a family, by name."""
    return min(name for name in PUBLISHED if name.startswith(f"{family}@"))


def cheapest() -> list[str]:
    """All data sets, one pretraining, and one SFT of it."""
    base = first("base")
    of_it = f"--base {base.replace('@', '-')} "
    trained = min(name for name, entry in PUBLISHED.items() if name.startswith("sft@") and of_it in entry.command)
    return [*(name for name in PUBLISHED if name.startswith("generate@")), base, trained]


def test_the_cheapest_outputs_made_anew_are_those_that_are_published(tmp_path):
    project = Project.from_working_tree(tmp_path / "project", yamls.read(ROOT / "config.yaml")["extends"])
    project.run("snakemake", "--cores", "2", *(out for name in cheapest() for out in PUBLISHED[name].outs))
    made = lock.read(project.folder / "dvc.lock")
    assert set(cheapest()) <= set(made)
    others = {
        name: f"{PUBLISHED[name].outs} is published, {entry.outs} was made"
        for name, entry in made.items()
        if entry.outs != PUBLISHED[name].outs
    }
    assert not others, f"{len(others)} of {len(made)} outputs are not as published: {others}"
