"""What two runs of a study differ in: verdicts and numbers of claims, and the inputs that they were made of.

A run is a git revision, or a table of claims such as docs/report/claims.csv. The claims of a revision come from the
report that its dvc.lock names, out of DVC's cache or remote; what they were made of from dvc.lock itself.
"""

import difflib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas

from orchard import git, paths
from orchard.errors import UserError
from orchard.lineage import agreement, gate
from orchard.lineage.leaves import MISSING, changes
from orchard.lineage.lock import CODE, Lock, of_commit

CLAIMS = paths.REPORT / "claims.csv"
NUMBERS = agreement.NUMBERS
COLUMNS = [*NUMBERS, "n"]


class Side(NamedTuple):
    """One run to be compared.

    Attributes:
        name: in words.
        claims: its claims by id.
        lock: what it was made of; None of a table alone.
    """

    name: str
    claims: pandas.DataFrame
    lock: Lock | None


def compare(before: str, after: str, as_markdown: bool = False) -> str:
    """The differences of two runs, as text.

    Args:
        before: a revision, as git names them (a branch, a tag, a commit), or the path of a claims.csv.
        after: another one.
        as_markdown: only their claims side by side, as a table for a page.

    Raises:
        UserError: a revision does not exist, has no run in its dvc.lock, or its report is neither here nor remote.
    """
    old, new = side_of(before), side_of(after)
    if as_markdown:
        return agreement.markdown(old.claims, new.claims, (old.name, new.name))
    parts = [
        f"{old.name} → {new.name}",
        _section("Claims", claim_changes(old.claims, new.claims)),
        _section("Estimates", agreement.lines(old.claims, new.claims)),
    ]
    if old.lock is not None and new.lock is not None:
        parts += [
            _section("Inputs from outside and code", input_changes(old.lock, new.lock)),
            _section("Parameters", parameter_changes(old.lock, new.lock)),
            _section("Stages", stage_changes(old.lock, new.lock)),
        ]
    return "\n\n".join(parts)


def side_of(named: str) -> Side:
    """A run by its table of claims, if there is such a file, else by its git revision."""
    if named.endswith(".csv"):
        return Side(named, table_of(Path(named)), None)
    commit = commit_of(named)
    lock = lock_of(commit)  # first: without a run there is no report to look for
    return Side(f"{named} ({commit[:10]})", claims_of(named, commit), lock)


def table_of(path: Path) -> pandas.DataFrame:
    """The claims of a table that was published, by id."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            found=f"{path}: {error}",
            rule="a table to compare is a claims.csv of a report",
            why="its verdicts and numbers are read from there",
            fix="name results/report/claims.csv, one that was published, or a git revision",
        ) from error
    return read_claims(text, str(path))


def _section(title: str, lines: Iterable[str]) -> str:
    """A heading with its lines."""
    return "\n".join([f"{title}:", *(f"  {line}" for line in list(lines) or ["the same"])])


def commit_of(revision: str) -> str:
    """The hash of the commit that a revision names."""
    git.refuse_none("what is compared is what git keeps")
    if commit := git.ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
        return commit
    names = git.ask("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags").splitlines()
    near = difflib.get_close_matches(revision, names, 3)
    raise UserError(
        found=f"no git revision {revision!r}",
        rule="what is compared is two revisions of this repository, or tables of claims (claims.csv)",
        why="each holds a dvc.lock, which says what was made of what",
        fix=f"did you mean {' or '.join(near)}?" if near else "name a branch, a tag or a commit of `git log`",
    )


def lock_of(commit: str) -> Lock:
    """The stages in a commit's dvc.lock, by name."""
    lock = of_commit(commit)
    if "report" not in lock:
        raise UserError(
            found=f"the dvc.lock of {commit[:10]} names no report",
            rule="a revision to compare has the dvc.lock of a finished run",
            why="it says what was made of what",
            fix="name a commit that followed a run: `git log -- dvc.lock`",
        )
    return lock


def claims_of(revision: str, commit: str) -> pandas.DataFrame:
    """The claims of a commit's report, by id."""
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    gate.install()
    try:
        text = dvc.api.read(str(CLAIMS), repo=".", rev=commit)
    except UserError:  # the gate's
        raise
    except (DvcException, DataIndexDirError, OSError) as error:
        raise UserError(
            found=f"the report of {revision} is neither in DVC's cache nor in a remote ({error})",
            rule="its claims are read from there",
            why="git holds dvc.lock, not results",
            fix=f"`git checkout {revision} && dvc pull results/report`, or run the study there",
        ) from error
    return read_claims(text, f"{CLAIMS} of {revision}")


def read_claims(text: str, name: str) -> pandas.DataFrame:
    """The claims of a claims.csv, by id; ``name`` is what a message calls it."""
    try:
        claims = pandas.read_csv(io.StringIO(text)).set_index("id")
        claims[COLUMNS] = claims[COLUMNS].apply(pandas.to_numeric)
        if claims.index.has_duplicates:
            raise ValueError(f"the id {claims.index[claims.index.duplicated()][0]!r} stands twice")
        claims["model"] = claims.get("model")  # a column that reports before 2026-11-28 lack: their unit was no chain
        return claims.astype({"verdict": str, "model": object})
    except (ValueError, KeyError) as error:
        raise UserError(
            found=f"{name}: {' '.join(str(error).split())}",
            rule="it has the columns id, verdict, ours, low, high and n, and each id once",
            why="claims are read from there",
            fix="name a report that orchard made",
        ) from error


def claim_changes(before: pandas.DataFrame, after: pandas.DataFrame) -> Iterator[str]:
    """A line for each claim whose verdict or numbers differ; settings of a claim (ids with a bar) only if they do."""
    for name in dict.fromkeys([*before.index, *after.index]):
        old, new = (verdict_of(table, name) for table in (before, after))
        if old != new:
            yield f"{name}: {old} → {new}"


def verdict_of(claims: pandas.DataFrame, name: str) -> str:
    """Verdict of a claim with its reason, and its interval, in points, where it was tested."""
    if name not in claims.index:
        return MISSING
    row = claims.loc[name]
    if row[NUMBERS].isna().all():
        reason = row.get("reason")  # a column that reports before 2026-11-27 lack
        return row["verdict"] if pandas.isna(reason) else f"{row['verdict']} ({reason})"
    value, low, high = (MISSING if pandas.isna(number) else f"{100 * number:+.1f}" for number in row[NUMBERS])
    return f"{row['verdict']}, {value} [{low}, {high}]"


def input_changes(before: Lock, after: Lock) -> Iterator[str]:
    """A line for each file of code or from outside that a stage of either revision read, if it differs."""
    old, new = sources(before), sources(after)
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            yield f"{path}: {'new' if path not in old else 'no longer read' if path not in new else 'changed'}"


def sources(lock: Lock) -> dict[str, str]:
    """The MD5 of every dependency that no stage makes."""
    made = [out for entry in lock.values() for out in entry.outs]
    deps = {path: md5 for entry in lock.values() for path, md5 in entry.deps.items()}
    return {path: md5 for path, md5 in deps.items() if path.startswith(CODE) or not paths.overlapping(path, made)}


def parameter_changes(before: Lock, after: Lock) -> list[str]:
    """A line for each parameter of a stage that differs, down to the key."""
    old, new = (
        {key: value for entry in lock.values() for key, value in entry.values.items()} for lock in (before, after)
    )
    return sorted(changes(old, new))


def stage_changes(before: Lock, after: Lock) -> Iterator[str]:
    """A line that counts the stages by what became of them, and one that names those whose output differs."""
    both = [name for name in after if name in before]
    other = [name for name in both if before[name].outs != after[name].outs]
    counts = {"new": len(after) - len(both), "gone": len(before) - len(both), "with another output": len(other)}
    if any(counts.values()):
        yield f"of {len(before)} → {len(after)}: " + ", ".join(f"{count} {what}" for what, count in counts.items())
    if other:
        yield "another output: " + ", ".join(other)
