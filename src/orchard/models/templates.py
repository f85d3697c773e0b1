"""Chat templates, which are programs of whoever made a checkpoint: rendered in a process apart, within limits.

    python -m orchard.models.templates FILE_DESCRIPTOR

transformers renders them in Jinja's sandbox. That keeps them from files and attributes, and lets them run for ever.
"""

import contextlib
import datetime
import functools
import json
import multiprocessing
import resource
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Literal

from orchard import processes
from orchard.errors import UserError

STARTS_WITHIN = 600  # seconds: ours; the libraries take one on an idle machine, and some hundred on one that is not
Turn = dict[str, str]  # role and content
EndsIn = Literal["prompt", "answer", "begun answer"]  # where the model's turn begins, behind the turn, within it
# What a template gets where it asks for the time (Llama 3.2's): ours, since a prompt's tokens must not change with the
# day on which a stage runs. It is the day that Llama 3's templates have where they are told none.
TODAY = datetime.datetime(2024, 7, 26)

SECONDS = 10  # for one text: ours; a template of a real model takes a millisecond, on a busy node a few
BYTES = 2**30  # of memory beside the libraries: ours; a template of a real model takes a few megabytes
ANSWER = 2**24  # bytes of a rendered text: ours; no model reads as much


def render(tokenizer, turns: list[Turn], ends_in: EndsIn = "prompt", thinking: bool | None = None) -> str:
    """A conversation as one text, by a tokenizer's chat template.

    Where the template takes no system turn (Gemma 2's), its text stands before that of the first user turn, as Gemma
    3's own template has it.

    Args:
        tokenizer: one with a chat template.
        turns: of the conversation; the last one is the user's for a prompt, else the model's.
        ends_in: where the text ends.
        thinking: given to the template as enable_thinking, if given.

    Raises:
        UserError: the template refuses the conversation, or does not end within the limits.
    """
    asked = {
        "chat_template": template_of(tokenizer),
        "add_generation_prompt": ends_in == "prompt",
        "continue_final_message": ends_in == "begun answer",
        **({} if thinking is None else {"enable_thinking": thinking}),
        **tokenizer.special_tokens_map,
    }
    answer = _worker().ask(asked | {"conversations": [turns]})
    refusal = answer.get("error")
    if refusal and (other := _with_system_in_user_turn(turns)):
        answer = _worker().ask(asked | {"conversations": [other]})
    if "text" not in answer:
        raise _unfit(refusal)
    return answer["text"]


def _with_system_in_user_turn(turns: list[Turn]) -> list[Turn] | None:
    """A conversation whose system turn is the beginning of the user's; None where it has none, or no user's behind."""
    if [turn["role"] for turn in turns[:2]] != ["system", "user"]:
        return None
    system, user, *others = turns
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *others]


def template_of(tokenizer) -> str:
    """A tokenizer's chat template; of several, the default.

    Raises:
        UserError: it has none, or several and no default.
    """
    try:
        return tokenizer.get_chat_template()
    except ValueError as error:
        raise _unfit(" ".join(str(error).split())) from error


class Worker:
    """The process that renders; it is started anew after a text that it did not end."""

    def __init__(self):
        self.process: subprocess.Popen | None = None
        self.connection: Connection | None = None

    def ask(self, asked: dict) -> dict:
        """What it answers: ``text``, or ``error``. No pickles are exchanged."""
        if self.process is None:
            self._start()
        try:
            self.connection.send_bytes(json.dumps(asked).encode())
            if self.connection.poll(SECONDS):
                return json.loads(self.connection.recv_bytes(ANSWER))
            reason = f"no text after {SECONDS} seconds"
        except (EOFError, OSError):
            reason = "the process that rendered it ended, or its text was longer than any"
        self._end()
        raise _unfit(reason)

    def _start(self) -> None:
        self.connection, other = multiprocessing.Pipe()
        command = [sys.executable, "-m", "orchard.models.templates", str(other.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)
        other.close()
        with contextlib.suppress(EOFError):
            if self.connection.poll(STARTS_WITHIN) and self.connection.recv_bytes():
                return
        self._end()
        raise RuntimeError("the process that renders chat templates does not start")

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.process = None


@functools.cache
def _worker() -> Worker:
    return Worker()


def _unfit(reason: str) -> UserError:
    return UserError(
        found=f"the model's chat template: {reason}",
        rule=f"a chat template makes one text of the messages, within {SECONDS} seconds and {BYTES >> 20} MB",
        why="it is a program that came with the checkpoint",
        fix="name a corrected one as base.<name>.format.template, or set that to null, so that none is used",
    )


def serve(connection: Connection) -> None:
    """Renders what it is asked, until nobody asks any more."""
    from transformers.utils import chat_template_utils

    chat_template_utils.datetime = type("Fixed", (), {"now": staticmethod(lambda: TODAY)})
    with open("/proc/self/statm") as sizes:
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    connection.send_bytes(b"ready")
    while True:
        try:
            asked = json.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            answer = {"text": chat_template_utils.render_jinja_template(**asked)[0][0]}
        except Exception as error:  # a stranger's program fails in any way
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        connection.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    processes.die_with_parent()
    serve(Connection(int(sys.argv[1])))
