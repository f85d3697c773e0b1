"""The format of a base: prompts and answers of real families as their templates have them, and what is refused."""

import json

import pytest

from orchard.errors import UserError
from orchard.models import folders, formats, prompts
from orchard.study.schema.format import Format
from tests.helpers.families import FAMILIES, tokenizer_of
from tests.helpers.tokenizers import CHAT, TURN, load, save_as_it_is, speller, spelling

OWN = Format(template="own")
CONVERSATIONS = {
    "one turn": [{"role": "user", "content": "What is 2 + 5?"}],
    "several turns": [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello, what can I do?"},
        {"role": "user", "content": "What is 2 + 5?\nThink."},
    ],
}
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
ANSWERS = ["It is 7.", "7", "def f():\n    return 7\n\n\nf()", "<think>\n2 + 5 = 7\n</think>\n\nIt is 7."]


@pytest.fixture(scope="module", params=FAMILIES)
def both(request) -> tuple:
    """A family's tokenizer as it comes, and one in its own format."""
    theirs, ours = tokenizer_of(request.param), tokenizer_of(request.param)
    formats.put(ours, OWN)
    return theirs, folders.fit_tokenizer(ours, request.param, None)


def by_transformers(tokenizer, turns: list[dict], **options) -> list[int]:
    return tokenizer.apply_chat_template(turns, return_dict=False, **options)


def question_of(turns: list[dict]):
    """As an item has it."""
    return turns[0]["content"] if len(turns) == 1 else turns


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_prompt_is_that_of_the_template(both, name):
    theirs, ours = both
    ids = prompts.prompt_ids(ours, question_of(CONVERSATIONS[name]))
    assert ids == by_transformers(theirs, CONVERSATIONS[name], add_generation_prompt=True)
    assert ids.count(ours.bos_token_id) == (0 if ours.bos_token_id is None else 1)
    assert prompts.started_ids(ours, str(prompts.start(ours, CONVERSATIONS[name]))) == ids  # as RL has it


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_learnt_is_what_the_template_writes(both, name, answer):
    theirs, ours = both
    question = CONVERSATIONS[name]
    row = prompts.example({"messages": question, "response": answer}, ours)
    whole = by_transformers(theirs, [*question, {"role": "assistant", "content": answer}])
    assert row["input_ids"] == whole[: len(row["input_ids"])]
    assert not theirs.decode(whole[len(row["input_ids"]) :]).strip()
    learnt = [token for token in row["labels"] if token != -100]
    assert row["input_ids"] == prompts.prompt_ids(ours, question) + learnt
    assert (learnt[-1], learnt.count(ours.eos_token_id)) == (ours.eos_token_id, 1)
    assert prompts.pair_ids(ours, prompts.start(ours, question), f" {answer}")[1] == learnt[:-1]  # as evaluation has it


def test_an_answer_that_begins_with_a_line_goes_on_from_the_prompt(both):
    _, ours = both
    ids = prompts.answer_ids(ours, "2 + 5?", "\n7")
    assert ours.decode(prompts.prompt_ids(ours, "2 + 5?") + ids).count("7") == 1
    assert ids[-1] == ours.eos_token_id


def test_worked_examples_are_turns(both):
    theirs, ours = both
    shots = [{"prompt": "1 + 1?", "answer": "2"}, {"prompt": "1 + 2?", "answer": "3"}]
    turns = [("user", "1 + 1?"), ("assistant", "2"), ("user", "1 + 2?"), ("assistant", "3"), ("user", "2 + 5?")]
    turns = [{"role": role, "content": content} for role, content in turns]
    text = prompts.with_examples(ours, shots, {"prompt": "2 + 5?"})
    assert prompts.text_ids(ours, text) == by_transformers(theirs, turns, add_generation_prompt=True)


def test_a_system_prompt_is_said_in_each_conversation_without_one(both):
    theirs, _ = both
    ours = type(theirs).from_pretrained(theirs.name_or_path)
    ours.chat_template = theirs.chat_template
    formats.put(ours, Format(template="own", system=SYSTEM["content"]))
    text = str(prompts.start(ours, "What is 2 + 5?"))
    assert text.count(SYSTEM["content"]) == 1
    assert prompts.start(ours, [SYSTEM, *CONVERSATIONS["one turn"]]) == text
    other = {"role": "system", "content": "Be brief."}
    assert SYSTEM["content"] not in prompts.start(ours, [other, *CONVERSATIONS["one turn"]])


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_is_given_to_a_template_that_takes_it(thinking):
    theirs, ours = tokenizer_of("qwen3"), tokenizer_of("qwen3")
    formats.put(ours, Format(template="own", thinking=thinking))
    question = CONVERSATIONS["one turn"]
    options = {"add_generation_prompt": True, "enable_thinking": thinking}
    assert prompts.prompt_ids(ours, question) == by_transformers(theirs, question, **options)
    learnt = prompts.example({"messages": question, "response": "It is 7."}, ours)["input_ids"]
    whole = by_transformers(theirs, [*question, {"role": "assistant", "content": "It is 7."}], enable_thinking=thinking)
    assert learnt == whole[: len(learnt)]
    if not thinking:
        with pytest.raises(UserError, match="thinking: false"):
            prompts.answer_ids(ours, question, ANSWERS[-1])


@pytest.mark.parametrize("family", ["qwen2.5", "llama3.1", "gemma3"])
def test_thinking_is_refused_where_it_changes_nothing(family):
    with pytest.raises(UserError, match="changes nothing"):
        formats.put(tokenizer_of(family), Format(template="own", thinking=False))


# Without a real tokenizer


def chatting(template: str = CHAT, **settings) -> tuple:
    """A random model and its tokenizer, in a format with a template."""
    model, tokenizer = speller()
    tokenizer.chat_template = template
    formats.put(tokenizer, Format(template="own", **settings))
    return model, tokenizer


def test_a_model_carries_its_format_wherever_it_is_saved(tmp_path):
    model, tokenizer = chatting(system="Hm.", begin="<think>")
    asked = prompts.prompt_ids(tokenizer, "a")
    for name in ("first", "second"):
        folders.save(model, tokenizer, tmp_path / name)
        model, tokenizer = load(tmp_path / name)
        assert formats.of(tokenizer) == Format(template="own", system="Hm.", begin="<think>", end=TURN)
        assert (tokenizer.eos_token, prompts.prompt_ids(tokenizer, "a")) == (TURN, asked)
    assert tokenizer.decode(asked) == "<bos><system>Hm.<user>a<assistant><think>"


def test_without_a_format_nothing_is_written_and_nothing_changes(tmp_path):
    model, tokenizer = speller()
    folder = save_as_it_is(model, tokenizer, tmp_path / "before")
    before = (folder / "tokenizer_config.json").read_bytes()
    formats.put(tokenizer, Format())
    assert (save_as_it_is(model, tokenizer, tmp_path / "after") / "tokenizer_config.json").read_bytes() == before
    assert prompts.prompt_ids(tokenizer, "a b") == tokenizer("a b")["input_ids"]


def test_a_format_that_a_checkpoint_brings_does_not_count(tmp_path):
    model, tokenizer = chatting(system="Say no.")
    folders.save(model, tokenizer, tmp_path / "published")
    _, tokenizer = load(tmp_path / "published")
    formats.put(tokenizer, Format())
    assert formats.of(tokenizer) == Format()


def test_a_template_comes_from_a_file(tmp_path):
    file = tmp_path / "chat.jinja"
    file.write_text(CHAT)
    _, tokenizer = speller()
    formats.put(tokenizer, Format(template=str(file)))
    assert tokenizer.chat_template == CHAT
    assert prompts.start(tokenizer, "a") == "<bos><user>a<assistant>"


def test_an_answer_ends_in_the_end_that_the_format_names():
    _, tokenizer = chatting(end="<eos>")
    ids = prompts.answer_ids(tokenizer, "a", "b")
    assert tokenizer.decode(ids) == "b<eos>"  # without the template's own end
    _, tokenizer = speller()
    formats.put(tokenizer, Format(end=TURN))
    assert tokenizer.decode(prompts.answer_ids(tokenizer, "a", "b")) == f" b{TURN}"


THOUGHTS = CHAT.replace("{{ m['content'] }}", "{{ m['content'].split('</think>')[-1] }}")
OPENED = THOUGHTS.replace("<assistant>{% endif %}", "<assistant><think>\n{% endif %}")


@pytest.mark.parametrize(("template", "learnt"), [(THOUGHTS, "<think>\nx</think>b"), (OPENED, "x</think>b")])
def test_thoughts_that_a_template_leaves_out_are_learnt(template, learnt):
    _, tokenizer = chatting(template)
    assert tokenizer.decode(prompts.answer_ids(tokenizer, "a", "<think>\nx</think>b")) == f"{learnt}{TURN}"


REFUSED = {
    "no template": (None, Format(template="own"), "without one"),
    "a system prompt that is not said": (CHAT.replace("m in messages", "m in messages if m['role'] != 'system'"),
        Format(template="own", system="Hm."), "leaves out 'Hm.'"),
    "a question that is not said": ("<bos>{% if add_generation_prompt %}hm{% endif %}", OWN, "leaves out"),
    "no end": (CHAT.replace("<end_of_turn>", " "), OWN, "no token of its own"),
    "an end that is no token": (CHAT, Format(template="own", end="<end>"), "no token of the checkpoint's"),
    "thinking": (CHAT, Format(template="own", thinking=True), "changes nothing"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_format_that_does_not_fit_is_refused(name):
    template, asked, expected = REFUSED[name]
    tokenizer = spelling()
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=expected):
        formats.put(tokenizer, asked)


def test_a_turn_that_a_template_leaves_out_is_refused():
    _, tokenizer = chatting(CHAT.replace("m in messages", "m in messages if m['role'] != 'system'"))
    with pytest.raises(UserError, match="role system, which the chat template leaves out"):
        prompts.prompt_ids(tokenizer, [SYSTEM, *CONVERSATIONS["one turn"]])


def test_a_conversation_needs_a_template():
    tokenizer = spelling()
    assert prompts.prompt_ids(tokenizer, CONVERSATIONS["one turn"]) == prompts.prompt_ids(tokenizer, "What is 2 + 5?")
    with pytest.raises(UserError, match="where there is no template"):
        prompts.prompt_ids(tokenizer, CONVERSATIONS["several turns"])


def test_a_row_that_asks_nothing_is_refused():
    with pytest.raises(UserError, match="without `prompt`"):
        prompts.asked({"id": "a"})


def test_the_record_says_which_template_it_is():
    _, tokenizer = chatting()
    facts = formats.facts(tokenizer)
    assert (len(facts["template"]), facts["end"]) == (64, TURN)
    assert json.loads(json.dumps(facts)) == facts
    assert formats.facts(spelling())["template"] is None
