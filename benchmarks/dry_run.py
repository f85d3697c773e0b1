"""What a dry run costs of a study with many stages that ran elsewhere: CPU seconds of `snakemake -n`, first and again.

    PYTHONPATH=. python benchmarks/dry_run.py --chains 44

A chain of the default study has some 45 stages. Outputs are made up; what their entries of dvc.lock read is not.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.usage import adopt_orphans, cpu_seconds
from tests.helpers.project import Project


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=44)
    chosen = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        project = Project.from_working_tree(Path(folder) / "project", "default")
        seeds = list(range(1, chosen.chains + 1))
        (project.folder / "config.yaml").write_text(f"extends: default\nbase: {{tiny: {{seeds: {seeds}}}}}\n")
        project.orchard("check")
        project.run(sys.executable, "-c", "from benchmarks import dry_run; dry_run.make_up_lock()")
        for which in ("first", "again"):
            before = cpu_seconds()
            project.snakemake("-n")
            print(f"{which}: {cpu_seconds() - before:.1f} CPU seconds")
        print(
            f"{len(project.lock())} stages, a dvc.lock of {(project.folder / 'dvc.lock').stat().st_size / 1e6:.1f} MB"
        )


def make_up_lock() -> None:
    """Writes dvc.lock in the working folder as if all stages had run, without their outputs."""
    from dvc.utils.serialize import _yaml

    from orchard.lineage import gate, graph
    from orchard.rerun import began, lockfile
    from orchard.study import load, params

    def content(path: str) -> dict:
        size = Path(path).stat().st_size if Path(path).is_file() else 1000
        return {"path": path, "hash": "md5", "md5": began.md5(path) or md5(path), "size": size}

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    tree = params.tree(load.load())
    with gate.repository({"no_scm": True}) as repo:
        stages = graph.fill_in(repo, graph.read(), tree).stages
    code = {dep: content(dep) for stage in stages.values() for dep in stage.deps}
    entries = {
        name: {
            "cmd": stage.command,
            "deps": [code[dep] for dep in sorted(stage.deps)],
            "params": {"params.yaml": graph.values(stage, tree)},
            "outs": [{"path": stage.out, "hash": "md5", "md5": md5(stage.out), "size": 1000}],
        }
        for name, stage in stages.items()
    }
    without_aliases = json.loads(json.dumps({"schema": "2.0", "stages": entries}))
    Path("dvc.lock").write_text(lockfile.dumped(without_aliases, _yaml._dump))


if __name__ == "__main__":
    main()
