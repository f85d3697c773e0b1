"""Chat templates of strangers: rendered as transformers does, and ended when they do not end."""

import time

import pytest

from orchard.errors import UserError
from orchard.models import folders, templates
from tests.helpers.checkpoints import with_files
from tests.helpers.messages import assert_one_message

MESSAGES = [{"role": "user", "content": "calc 1 + 1 :"}]
CHAT = (
    "{{ bos_token }}{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT


@pytest.fixture
def tokenizer(model):
    return folders.load_tokenizer(model)


@pytest.mark.parametrize("ends_in", ["prompt", "answer", "begun answer"])
def test_a_text_is_that_of_transformers(ends_in, tokenizer):
    tokenizer.chat_template = CHAT
    options = {"add_generation_prompt": ends_in == "prompt", "continue_final_message": ends_in == "begun answer"}
    expected = tokenizer.apply_chat_template(MESSAGES, tokenize=False, **options)
    assert templates.render(tokenizer, MESSAGES, ends_in) == expected


def test_a_system_turn_is_said_by_the_user_where_the_template_takes_none(tokenizer):
    tokenizer.chat_template = NO_SYSTEM
    system = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    assert templates.render(tokenizer, system) == "<bos><user> Be brief.\n\ncalc 1 + 1 : <assistant>"


def test_a_template_is_told_one_day_on_all_days(tokenizer):
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}"
    assert templates.render(tokenizer, MESSAGES) == "26 Jul 2024"


BAD_TEMPLATES = {
    "loops that never end": ("{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4, "seconds"),
    "a number that is never reckoned": ("{{ 9 ** (9 ** 9) }}", "seconds"),
    "a text without end": ("{{ 'a' * 10 ** 12 }}", "MemoryError"),
    "no template": ("{% for %}", "TemplateSyntaxError"),
    "what a sandbox keeps": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "its own error": ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    "a macro that calls itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
}


@pytest.mark.parametrize("name", BAD_TEMPLATES)
def test_a_bad_template_is_one_message(name, model, tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "SECONDS", 2)
    template, expected = BAD_TEMPLATES[name]
    folder = with_files(model, tmp_path / "given", {"chat_template.jinja": template})
    tokenizer = folders.load_tokenizer(folder)
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        templates.render(tokenizer, MESSAGES)
    assert_one_message(str(error.value), ["chat template", expected])
    assert time.monotonic() - start < 60
    tokenizer.chat_template = CHAT
    assert templates.render(tokenizer, MESSAGES).endswith("<assistant>")


def test_of_several_templates_the_default_is_used(tokenizer):
    tokenizer.chat_template = {"default": CHAT, "tool_use": "tools"}
    assert templates.render(tokenizer, MESSAGES).startswith("<bos><user>")
    tokenizer.chat_template = {"tool_use": "tools"}
    with pytest.raises(UserError, match="default"):
        templates.render(tokenizer, MESSAGES)
