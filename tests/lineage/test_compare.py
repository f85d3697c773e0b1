"""What two revisions differ in, from git, dvc.lock and DVC's cache."""

import re

import pytest

from orchard.errors import UserError
from orchard.lineage import compare, lock


def test_two_revisions_are_told_apart_by_claims_and_by_what_they_were_made_of(colleague):
    colleague.run("dvc", "pull", "-q")
    same = colleague.orchard("compare", "HEAD", "main").stdout
    assert same.count("the same") == 5
    colleague.set("report.confidence", 0.5)
    colleague.edit("src/orchard/report/claims/claims.yaml", "threshold: 0.04", "threshold: 0.05")
    colleague.snakemake("--cores", "2")
    assert colleague.executed() == {"report"}
    colleague.commit("other confidence")
    printed = colleague.orchard("compare", "HEAD~1", "HEAD").stdout
    assert re.search(r"^HEAD~1 \([0-9a-f]{10}\) → HEAD \([0-9a-f]{10}\)", printed)
    assert "  report.confidence: 0.95 → 0.5\n" in printed
    assert "  src/orchard/report/claims/claims.yaml: changed\n" in printed
    assert "  another output: report" in printed
    changed = re.findall(r"^  [PL]\S*: (.+) → (.+)$", printed, re.MULTILINE)
    estimates = [[re.findall(r", (\S+) \[", verdict) for verdict in sides] for sides in changed]
    tested = [sides for sides in estimates if sides[0]]  # at less confidence more scores are above a guess, none fewer
    assert tested
    assert all(before == after for before, after in tested), "only intervals and verdicts depend on confidence"


@pytest.mark.parametrize(
    ("revisions", "found"),
    [
        (("HEAD", "mian"), "no git revision 'mian'"),
        (("HEAD", "HEAD~1"), "names no report"),
    ],
)
def test_a_revision_that_cannot_be_compared_is_refused(revisions, found, colleague):
    done = colleague.orchard("compare", *revisions, ok=False)
    assert done.returncode == 1
    assert found in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("fix:") == 1


def test_a_report_that_is_nowhere_is_named(colleague):
    colleague.run("dvc", "remote", "modify", "shared", "url", str(colleague.folder / "nothing"))
    done = colleague.orchard("compare", "HEAD", "main", ok=False)
    assert done.returncode == 1
    assert "neither in DVC's cache nor in a remote" in done.stderr


def entry(name: str, params: dict, deps: dict, outs: dict) -> lock.Entry:
    return lock.Entry(name, "", deps, {"params.yaml": params}, outs)


def test_only_what_differs_is_printed():
    before = {"a": entry("a", {"x": {"y": 1, "z": [1]}}, {"src/a.py": "1", "data/in": "1"}, {"data/out": "1"})}
    after = {
        "a": entry("a", {"x": {"y": 1.0, "z": [1]}}, {"src/a.py": "2", "data/in": "1"}, {"data/out": "2"}),
        "b": entry("b", {}, {"data/out": "2", "data/new": "1"}, {"results/b": "1"}),
    }
    assert compare.parameter_changes(before, after) == ["x.y: 1 → 1.0"]
    assert list(compare.input_changes(before, after)) == ["data/new: new", "src/a.py: changed"]
    assert list(compare.stage_changes(before, after)) == [
        "of 1 → 2: 1 new, 0 gone, 1 with another output",
        "another output: a",
    ]


TABLE = "id,verdict,reason,ours,low,high,n\nP2,reproduced,,0.02,0.01,0.03,8\nP9,not tested,no times,,,,\n"


def test_a_published_table_is_a_side(tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(TABLE)
    other.write_text(TABLE.replace("0.02,0.01,0.03", "0.03,0.02,0.04"))
    text = compare.compare(str(one), str(other))
    assert "  P2: reproduced, +2.0 [+1.0, +3.0] → reproduced, +3.0 [+2.0, +4.0]" in text
    assert "  0 of 1 estimates and their intervals are the same" in text
    assert "Parameters" not in text, "a table does not say what it was made of"
    assert compare.compare(str(one), str(one)).count("the same") == 2


@pytest.mark.parametrize(
    "text", [None, "", "id,ours\nP2,1\n", TABLE + TABLE.splitlines()[1] + "\n"], ids=["none", "empty", "few", "twice"]
)
def test_a_table_that_cannot_be_compared_is_refused(text, tmp_path):
    path = tmp_path / "claims.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"claims\.csv"):
        compare.table_of(path)
