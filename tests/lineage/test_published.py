"""Yours against the published."""

from pathlib import Path

from orchard import paths
from orchard.lineage import published

TABLE = "id,verdict,reason,model,ours,low,high,n\nP2,reproduced,,rl-1,0.02,0.01,0.03,8\n"


def test_a_run_is_set_beside_what_was_published_of_its_study_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, text in ((paths.REPORT, TABLE), (paths.DOCS_REPORT, TABLE.replace("0.03,8", "0.04,8"))):
        folder.mkdir(parents=True)
        (folder / "claims.csv").write_text(text)
    Path("params.yaml").write_text("name: a\n")
    assert published.beside() == "", "nothing says of which study the published table is"
    (paths.DOCS_REPORT / "params.yaml").write_text("name: b\n")
    assert published.beside() == ""
    (paths.DOCS_REPORT / "params.yaml").write_text("name: a\n")
    told = published.beside()
    assert "0 of 1 estimates and their intervals are the same" in told
    assert "P2: reproduced, +2.0 [+1.0, +4.0] → reproduced, +2.0 [+1.0, +3.0]" in told
