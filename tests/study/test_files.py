"""What is known of files before any stage runs, and the rules that rest on it."""

import json
from pathlib import Path

import pytest

from orchard import yamls
from orchard.__main__ import main
from tests.helpers.messages import assert_one_message
from tests.helpers.studies import edited

ROWS = "".join(json.dumps({"question": f"{n} + 1?", "answer": f"#### {n + 1}"}) + "\n" for n in range(10))
ITEMS = "".join(
    json.dumps(
        {"id": f"own-{n}", "task": "gsm8k", "prompt": f"{n} + 1?", "answer": f"#### {n + 1}", "final": str(n + 1)}
    )
    + "\n"
    for n in range(10)
)
WORDS = {"role": "prompts", "path": "words.jsonl", "format": "gsm8k"}
PROMPTS = "data/prompts/words.jsonl"
GIVEN = {"kind": "given", "model": "base-tiny-1", "prompts": PROMPTS}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    """A folder with ten rows in two files, one of which has blank lines."""
    monkeypatch.chdir(tmp_path)
    Path("words.jsonl").write_text(ROWS)
    Path("blank.jsonl").write_text(ROWS.replace("\n", "\n\n"))
    Path("items.jsonl").write_text(ITEMS)
    Path("blank-items.jsonl").write_text(ITEMS.replace("\n", "\n\n"))


def check(changes: dict) -> int:
    Path("config.yaml").write_text(yamls.dumps(edited(changes)))
    return main(["check"])


@pytest.mark.parametrize(
    ("words", "prompts", "most"),
    [
        (WORDS, PROMPTS, 10),
        (WORDS | {"limit": 7}, PROMPTS, 7),
        (WORDS | {"limit": 7, "offset": 6}, PROMPTS, 4),
        (WORDS | {"path": "blank.jsonl"}, PROMPTS, 10),
        (WORDS, "items.jsonl", 10),
        (WORDS, "blank-items.jsonl", 10),
    ],
)
def test_a_recipes_prompts_fill_a_step(words, prompts, most, capsys):
    changes = {"data.ingest": {"words": words}, "rl.recipes.grpo.prompts": prompts}
    assert check(changes | {"rl.recipes.grpo.prompts_per_step": most}) == 0
    capsys.readouterr()
    assert check(changes | {"rl.recipes.grpo.prompts_per_step": most + 1}) == 1
    assert_one_message(capsys.readouterr().err, [f"prompts_per_step {most + 1}, while {prompts} has {most}"])


def test_a_script_for_given_answers_is_refused(capsys):
    assert check({"data.ingest": {"words": WORDS}, "behave.teacher.prompts": PROMPTS}) == 1
    assert_one_message(capsys.readouterr().err, ["behave.teacher: kind scripted, while the answers", "set kind: given"])


def test_given_answers_have_a_teacher_and_no_distillation(capsys):
    changes = {"data.ingest": {"words": WORDS}, "behave.teacher": GIVEN}
    assert check(changes) == 0
    capsys.readouterr()
    distilled = {"loss": "kl-stored", "learning_rate": 1e-3}
    changes |= {
        "sft.objectives.kl": distilled,
        "sft.arms.kl": {"objective": "kl", "base": "base-tiny", "data": "teacher"},
    }
    assert check(changes) == 1
    assert_one_message(capsys.readouterr().err, ["sft.arms.kl: loss kl-stored, while behave.teacher is given"])


def test_given_answers_without_a_teacher_are_refused(capsys):
    changes = {"data.ingest": {"words": WORDS}, "behave.teacher": {key: GIVEN[key] for key in ("kind", "prompts")}}
    assert check(changes) == 1
    assert_one_message(capsys.readouterr().err, ["behave.teacher.model is missing"])


def test_a_changed_template_makes_its_base_anew():
    Path("chat.jinja").write_text("{{ messages[0]['content'] }}")
    loaded = {"kind": "local", "source": "items.jsonl", "license": "mit", "model": {"layers": 8}}
    changes = {"base.other": loaded | {"format": {"template": "chat.jinja"}}}
    found = []
    for _ in range(2):
        assert check(changes) == 0
        found.append(yamls.read(Path("params.yaml"))["runs"]["base"])
        Path("chat.jinja").write_text("<{{ messages[0]['content'] }}>")
    assert found[0]["other"] != found[1]["other"]
    assert found[0]["tiny-1"] == found[1]["tiny-1"]
