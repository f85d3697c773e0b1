"""What two revisions of a study differ in: verdicts and numbers of claims, and the inputs that they were made of.

Claims come from the report that each revision's dvc.lock names, out of DVC's cache or remote; what they were made of
from dvc.lock itself.
"""

import difflib
import io
import json
from collections.abc import Iterator

import pandas
import yaml

from orchard.errors import UserError
from orchard.trace import CODE, git

CLAIMS = "results/report/claims.csv"
NUMBERS = ["ours", "low", "high"]
MISSING = "–"


def compare(before: str, after: str) -> str:
    """The differences of two git revisions, as text.

    Args:
        before: a revision, as git names them: a branch, a tag, a commit.
        after: another one.

    Raises:
        UserError: a revision does not exist, has no run in its dvc.lock, or its report is neither here nor remote.
    """
    commits = [commit_of(revision) for revision in (before, after)]
    locks = [stages_of(commit) for commit in commits]
    claims = [claims_of(revision, commit) for revision, commit in zip((before, after), commits, strict=True)]
    parts = [
        f"{before} ({commits[0][:10]}) → {after} ({commits[1][:10]})",
        told("Claims", claim_changes(*claims)),
        told("Inputs from outside and code", input_changes(*locks)),
        told("Parameters", parameter_changes(*locks)),
        told("Stages", stage_changes(*locks)),
    ]
    return "\n\n".join(parts)


def told(title: str, lines: Iterator[str]) -> str:
    """A heading with its lines."""
    return "\n".join([f"{title}:", *(f"  {line}" for line in list(lines) or ["the same"])])


def commit_of(revision: str) -> str:
    """The hash of the commit that a revision names."""
    if commit := git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
        return commit
    names = git("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags").splitlines()
    near = difflib.get_close_matches(revision, names, 3)
    raise UserError(
        f"no git revision {revision!r}",
        "what is compared is two revisions of this repository",
        "each holds a dvc.lock, which says what was made of what",
        f"did you mean {' or '.join(near)}?" if near else "name a branch, a tag or a commit of `git log`",
    )


def stages_of(commit: str) -> dict[str, dict]:
    """The stages in a commit's dvc.lock, by name."""
    stages = (yaml.safe_load(git("show", f"{commit}:dvc.lock")) or {}).get("stages", {})
    if "report" not in stages:
        raise UserError(
            f"the dvc.lock of {commit[:10]} names no report",
            "a revision to compare has the dvc.lock of a finished run",
            "it says what was made of what",
            "name a commit that followed a run: `git log -- dvc.lock`",
        )
    return stages


def claims_of(revision: str, commit: str) -> pandas.DataFrame:
    """The claims of a commit's report, by id."""
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    try:
        text = dvc.api.read(CLAIMS, repo=".", rev=commit)
    except (DvcException, DataIndexDirError, FileNotFoundError) as error:
        raise UserError(
            f"the report of {revision} is neither in DVC's cache nor in a remote ({error})",
            "its claims are read from there",
            "git holds dvc.lock, not results",
            f"`git checkout {revision} && dvc pull results/report`, or run the study there",
        ) from error
    return pandas.read_csv(io.StringIO(text)).set_index("id")


def claim_changes(before: pandas.DataFrame, after: pandas.DataFrame) -> Iterator[str]:
    """A line for each claim whose verdict or numbers differ; settings of a claim (ids with a bar) only if they do."""
    for name in dict.fromkeys([*before.index, *after.index]):
        old, new = (summary(table, name) for table in (before, after))
        if old != new:
            yield f"{name}: {old} → {new}"


def summary(claims: pandas.DataFrame, name: str) -> str:
    """Verdict and interval of a claim, in points where it was tested."""
    if name not in claims.index:
        return MISSING
    row = claims.loc[name]
    if row[NUMBERS].isna().all():
        return row["verdict"]
    value, low, high = (MISSING if pandas.isna(number) else f"{100 * number:+.1f}" for number in row[NUMBERS])
    return f"{row['verdict']}, {value} [{low}, {high}]"


def input_changes(before: dict[str, dict], after: dict[str, dict]) -> Iterator[str]:
    """A line for each file of code or from outside that a stage of either revision read, if it differs."""
    old, new = (sources(stages) for stages in (before, after))
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            yield f"{path}: {how(path, old, new)}"


def sources(stages: dict[str, dict]) -> dict[str, str]:
    """The MD5 of every dependency that no stage makes."""
    made = [out["path"] for stage in stages.values() for out in stage.get("outs", [])]
    deps = {dep["path"]: dep.get("md5", "") for stage in stages.values() for dep in stage.get("deps", [])}
    return {
        path: md5
        for path, md5 in deps.items()
        if path.startswith(CODE) or not any(f"{out}/".startswith(f"{path}/") or out == path for out in made)
    }


def how(path: str, old: dict[str, str], new: dict[str, str]) -> str:
    """Whether something is new, gone or another."""
    return "new" if path not in old else "no longer read" if path not in new else "changed"


def parameter_changes(before: dict[str, dict], after: dict[str, dict]) -> Iterator[str]:
    """A line for each parameter of a stage that differs, down to the key."""
    old, new = (parameters(stages) for stages in (before, after))
    for key in sorted({*old, *new}):
        if old.get(key, MISSING) != new.get(key, MISSING):
            yield f"{key}: {old.get(key, MISSING)} → {new.get(key, MISSING)}"


def parameters(stages: dict[str, dict]) -> dict[str, str]:
    """Every value that a stage depends on, by its path of keys, as JSON."""
    found = {}
    for stage in stages.values():
        for values in stage.get("params", {}).values():
            for key, value in values.items():
                found |= leaves(key, value)
    return found


def leaves(path: str, value) -> dict[str, str]:
    """The values at the ends of a tree of mappings, by path."""
    if isinstance(value, dict) and value:
        return {name: leaf for key, below in value.items() for name, leaf in leaves(f"{path}.{key}", below).items()}
    return {path: json.dumps(value, ensure_ascii=False)}


def stage_changes(before: dict[str, dict], after: dict[str, dict]) -> Iterator[str]:
    """A line that counts the stages by what became of them, and one that names those whose output differs."""
    both = [name for name in after if name in before]
    other = [name for name in both if before[name].get("outs") != after[name].get("outs")]
    counts = {"new": len(after) - len(both), "gone": len(before) - len(both), "with another output": len(other)}
    if any(counts.values()):
        yield f"of {len(before)} → {len(after)}: " + ", ".join(f"{count} {what}" for what, count in counts.items())
    if other:
        yield "another output: " + ", ".join(other)
