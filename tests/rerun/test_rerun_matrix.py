"""This edit → exactly these stages are stale: by orchard's own answer, and by DVC's."""

import json

import pytest

from orchard.lineage import project as lineage
from tests.helpers.matrix import CODE_EDITS, CONFIG_EDITS, stages


def stale(project, monkeypatch) -> tuple[set[str], set[str]]:
    """The stages that orchard calls stale, and those of which DVC says so."""
    monkeypatch.chdir(project.folder)
    project.orchard("check")
    status = json.loads(project.run("dvc", "status", "--json").stdout)
    with lineage.opened() as opened:
        changed, _ = opened.to_start()
    return set(changed), set(status)


@pytest.mark.parametrize("key", CONFIG_EDITS)
def test_an_edit_of_the_config_makes_exactly_its_stages_stale(pulled, key, monkeypatch):
    value, prefixes = CONFIG_EDITS[key]
    pulled.set(key, value)
    try:
        ours, dvcs = stale(pulled, monkeypatch)
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml", "params.yaml")
    assert ours == dvcs == stages(pulled, *prefixes)


def test_another_seed_is_another_chain_and_makes_nothing_stale_that_ran(pulled, monkeypatch):
    pulled.set("base.tiny.seeds", [1, 2, 3])
    try:
        ours, dvcs = stale(pulled, monkeypatch)
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml", "params.yaml")
    assert ours == dvcs
    assert {"base@tiny-3", "sft@nll-3", "rl@grpo-pear-token-3", "evaluate@base-tiny-3"} <= ours
    assert not ours & pulled.lock().keys()


@pytest.mark.parametrize("file", CODE_EDITS)
def test_a_comment_in_the_code_makes_exactly_the_stages_stale_that_run_it(pulled, file, monkeypatch):
    path = pulled.folder / "src/orchard" / file
    path.write_text(f"{path.read_text()}\n# a comment\n")
    try:
        ours, dvcs = stale(pulled, monkeypatch)
    finally:
        pulled.run("git", "checkout", "-q", "src")
    assert ours == dvcs == stages(pulled, *CODE_EDITS[file])


def test_every_top_level_key_has_a_row(pulled):
    assert {key.split(".")[0] for key in CONFIG_EDITS} == pulled.study().keys() - {"runs"}
