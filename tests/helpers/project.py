"""A copy of the project in a folder of its own, with a real git, a real DVC and the smoke study as its config."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from orchard import yamls

ROOT = Path(__file__).resolve().parents[2]
# Half of the smoke study: a chain with each kind of stage that computes.
CHAIN = (
    "results/evals/base-tiny-1",
    "results/evals/sft-pear-token-1",
    "results/evals/recover-rl-grpo-pear-token-1-block-influence-0.25-self-steps-1",
    "results/models/prune-rl-grpo-pear-token-1-greedy-0.25",
)
COMPUTES = {"base", "sample", "behave", "sft", "rl", "search", "prune", "respond", "recover", "evaluate"}


class Project:
    """One clone. Commands run in it with this environment's Python, as a user's would."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.seconds = None  # that its first run took
        self.env = os.environ | {
            "PYTHONPATH": str(folder / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "orchard",
            "GIT_AUTHOR_EMAIL": "orchard@example.org",
            "GIT_COMMITTER_NAME": "orchard",
            "GIT_COMMITTER_EMAIL": "orchard@example.org",
        }

    @classmethod
    def from_working_tree(cls, folder: Path, study: str = "smoke") -> "Project":
        """The files that git knows or would add, without dvc.lock: nothing was ever run."""
        listing = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
        for name in listing.splitlines():
            if name != "dvc.lock" and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / "config.yaml").write_text(f"extends: {study}\n")
        project = cls(folder)
        project.run("git", "init", "-q", "-b", "main")
        project.orchard("check")
        project.commit(f"the {study} study")
        return project

    def clone(self, folder: Path) -> "Project":
        """What a colleague gets: git's files, no data, no cache."""
        subprocess.run(["git", "clone", "-q", str(self.folder), str(folder)], check=True)
        return Project(folder)

    def run(self, *command: str, ok: bool = True) -> subprocess.CompletedProcess:
        """Runs a command to its end; unless ``ok`` is false, a failure shows what it printed."""
        done = subprocess.run(command, cwd=self.folder, env=self.env, text=True, capture_output=True)
        assert done.returncode == 0 or not ok, (
            f"{command} → {done.returncode}\n{done.stdout}\n{done.stderr}{self.logs()}"
        )
        return done

    def orchard(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess:
        """Runs one of orchard's own commands."""
        return self.run(sys.executable, "-m", "orchard", *arguments, ok=ok)

    def snakemake(self, *options: str) -> str:
        """Runs Snakemake; returns all that it printed."""
        shutil.rmtree(self.folder / "logs", ignore_errors=True)
        done = self.run("snakemake", *(options or ("--cores", "2")))
        return done.stdout + done.stderr

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def executed(self) -> set[str]:
        """The stages whose command DVC ran in the last call of Snakemake, from the jobs' logs."""
        logs = "\n".join(log.read_text() for log in (self.folder / "logs").rglob("*.log"))
        return set(re.findall(r"^Running stage '(.+)':", logs, re.M))

    def stale(self) -> set[str]:
        """The stages that `snakemake -n` names."""
        done = self.run("snakemake", "-n")
        return set(re.findall(r"^ {2}(\S+@\S+|report)", done.stdout + done.stderr, re.M))

    def lock(self) -> dict:
        """The content of dvc.lock."""
        return yamls.read(self.folder / "dvc.lock")["stages"]

    def families(self) -> set[str]:
        """The families of the stages in dvc.lock."""
        return {name.partition("@")[0] for name in self.lock()}

    def study(self) -> dict:
        """The whole study with its runs, as the last run or check left it."""
        return yamls.read(self.folder / "params.yaml")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replaces a text that stands in a file."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))

    def set(self, dotted: str, value) -> None:
        """Sets one key in config.yaml to what it is not yet."""
        path = self.folder / "config.yaml"
        now, node = self.study(), yamls.read(path)
        tree, (*parents, last) = node, dotted.split(".")
        for key in parents:
            now, node = now[key], node.setdefault(key, {})
        assert now.get(last) != value, f"{dotted} is {value} already"
        node[last] = value
        path.write_text(yamls.dumps(tree))

    def logs(self) -> str:
        """The ends of the job logs, for a failure's message."""
        return "".join(f"\n--- {log.name}\n{log.read_text()[-1500:]}" for log in (self.folder / "logs").rglob("*.log"))
