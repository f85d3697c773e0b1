"""What the page says, read from its text."""

import json
from html.parser import HTMLParser

import numpy as np
import pandas
import pytest

from orchard.report.claims import pear
from orchard.report.claims.judge import COLUMNS, in_words
from orchard.report.page import page
from tests.helpers.planted import SETTINGS, chain, course, report, studies_of, write_model, write_study


def test_page_says_how_many_selection_prompts_are_evaluated_on(folder):
    assert "block-influence 40, shared 0" in " ".join((folder / "index.html").read_text().split())


def test_the_page_names_the_recipes_settings(folder):
    assert "a" * 64 in (folder / "index.html").read_text()


class Cells(HTMLParser):
    """The text of the cells of the claims table, a list a row."""

    def __init__(self):
        super().__init__()
        self.rows, self.inside, self.cell = [], False, False

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self.inside = ("class", "claims") in attrs
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag == "td":
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        self.cell = self.cell and tag != "td"

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data


def test_numbers_of_the_page_are_those_of_the_file(folder):
    page = Cells()
    page.feed((folder / "index.html").read_text())
    shown = [row for row in page.rows if len(row) > 1]  # the others hold a claim's settings, folded
    judged = pandas.read_csv(folder / "claims.csv", dtype={"n": "Int64"})
    tested = judged[judged["ours"].notna()].to_dict("records")
    assert len(shown) == len(tested) > 10
    for cells, row in zip(shown, tested, strict=True):
        ours, another, n, verdict, _, seen = (text.strip() for text in cells[2:8])
        assert numbers_in(ours) == [round(100 * row[name] + 0.0, 1) for name in ("ours", "low", "high")]
        ends = [round(100 * row[name] + 0.0, 1) for name in ("next_low", "next_high") if not np.isnan(row[name])]
        assert (numbers_in(another) if another != "–" else []) == ends
        expected = in_words(row["verdict"], "" if pandas.isna(row["reason"]) else row["reason"])
        assert (int(n), " ".join(verdict.split())) == (row["n"], expected)
        size = row["could_have_seen"]
        assert seen == "–" if np.isnan(size) else float(seen) == round(100 * size, 1)


def numbers_in(text: str) -> list[float]:
    """The numbers of an estimate with its interval, or of an interval."""
    return [float(part) for part in text.replace("−", "-").translate(str.maketrans("", "", "[],")).split()]


def test_page_shows_the_first_rows_of_a_claim_with_many():
    table = pandas.DataFrame({"id": ["P1", *(f"P1/a/{n}" for n in range(25))], "verdict": "inconclusive"})
    table = table.reindex(columns=COLUMNS)
    table[["ours", "low", "high", "could_have_seen"]], table["n"] = 0.0, 3
    sections = {name: [] for name in ("claims", "PEAR", "LLP", "stages")}
    results = {"columns": [], "models": [], "items": {}}
    text = page.html(
        study="",
        confidence=0.95,
        claims=page.claim_rows(table),
        sections=sections,
        folder=None,
        results=results,
        chains={"base-tiny": 1},
        recipes={},
        unreported=[],
        chosen_on={},
        twins=None,
        names=None,
        trails={},
        wrong={},
    )
    assert "a, 19</td>" in text
    assert "a, 20</td>" not in text
    assert "and 5 more in <code>claims.csv</code>" in text


@pytest.mark.parametrize(("skill", "differ"), [(0.6, False), (0.9, True)], ids=["alike", "not alike"])
def test_twins_are_paired_by_chain(tmp_path, skill, differ):
    settings = SETTINGS | {"pear": SETTINGS["pear"] | {"twins": {"one": "nll", "other": "nll-again"}}}
    root = write_study(tmp_path, settings, skip=("prune", "recover"))
    facts = {"objective": "nll-again", "arm": "nll-again", "data": "teacher", "recipe": "grpo", "draw": 1}
    for seed in (1, 2, 3):
        name = f"rl-grpo-nll-again-{seed}"
        write_model(root, name, skill, 0.97, stage="rl", **chain(seed), **facts, **course("rl", "nll", 1))
    found = pear.twins(studies_of(root, settings)[0]).interval
    assert (not found.low <= 0 <= found.high, found.replicates) == (differ, 3)
    assert found.value == pytest.approx(skill - 0.6, abs=0.04)
    folder = report(root)
    assert json.loads((folder / "metrics.json").read_text())["twins_ours"] == pytest.approx(found.value, abs=1e-6)
    words = "a difference is found where there is none" if differ else "no difference is found, as it should be"
    assert words in (folder / "index.html").read_text()


def test_page_stands_alone_and_can_be_read_aloud(folder):
    text = (folder / "index.html").read_text()
    assert "<script" not in text
    assert "src=" not in text
    assert 'rel="stylesheet"' not in text
    assert text.count('role="img" aria-label="') == text.count("<svg") == 11
    assert "prefers-color-scheme: dark" in text
    identifiers = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(identifiers) == len(set(identifiers))
