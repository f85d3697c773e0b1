"""A model as lm-eval sees it, made strict: nothing is cut, nothing happens that no task asked for, tokens are kept.

Any engine runs it. What reaches the engine is tokens, so lm-eval's own way with texts, templates and ends has no part.
"""

from collections import defaultdict

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import Collator, normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from orchard.engines.engine import Engine, Way
from orchard.errors import UserError
from orchard.models import prompts
from orchard.models.prompts import Rendered, Written
from orchard.models.templates import Turn


class StrictLM(TemplateLM):
    """A model for lm-eval.

    Args:
        engine: what runs it.
        batch_size: sequences a forward pass.
        seed: of the samples.

    Attributes:
        written: the responses to each request, by its task and the number of its item, in the order of the samples.

    Raises:
        UserError: while it works: a text does not fit into the model's positions (lm-eval would cut it and go on).
    """

    max_gen_toks = 256  # lm-eval's, for a task that says nothing of it
    written: dict[tuple[str, int], list[Written]] = {}  # noqa: RUF012  (replaced as a whole)

    def __init__(self, engine: Engine, batch_size: int, seed: int = 0):
        super().__init__()
        self.engine, self.batch_size, self.seed = engine, batch_size, seed
        self.tokenizer, self.max_length = engine.tokenizer, engine.positions

    # Texts as tokens

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """The token that texts begin with."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else begin

    @property
    def tokenizer_name(self) -> str:
        """Part of the name under which lm-eval would keep requests, which it is not asked to."""
        return self.tokenizer.name_or_path

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_) -> list[int]:
        if add_special_tokens is False:
            return self.tokenizer(string, add_special_tokens=False)["input_ids"]
        return prompts.text_ids(self.tokenizer, string)

    def apply_chat_template(self, chat_history: list[Turn], add_generation_prompt: bool = True) -> Rendered:
        """What lm-eval asks, in the format of the model's base. An item's own conversation may be one of the turns."""
        turns = [turn for each in chat_history for turn in getattr(each["content"], "turns", [each])]
        return prompts.conversation(self.tokenizer, prompts.with_own_system(turns), not add_generation_prompt)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return prompts.pair_ids(self.tokenizer, context, continuation)

    # Scores

    def _loglikelihood_tokens(self, requests, **_) -> list[tuple[float, bool]]:
        found = self.engine.score([(before, after) for _, before, after in requests], self.batch_size)
        return [(float(torch.tensor(one.logps).sum()), one.is_likeliest) for one in found]

    def loglikelihood_rolling(self, requests, disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of whole texts, which lm-eval cuts into windows that fit into the positions."""
        found = []
        for (text,) in (request.args for request in requests):
            windows = get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, self.max_length, 1)
            pairs = [make_disjoint_window(window) for window in windows]
            found.append(sum(value for value, _ in self._loglikelihood_tokens([(None, *pair) for pair in pairs])))
        return found

    # Responses

    def generate_until(self, requests, disable_tqdm: bool = False) -> list[str]:
        """A response's text for each request; its tokens are kept in ``written``, as lm-eval keeps the text alone."""
        found: list[Written | None] = [None] * len(requests)
        asked = [(*request.args, number) for number, request in enumerate(requests)]
        # As lm-eval orders them: requests of like length together, the longest first.
        groups = Collator(asked, lambda each: (-len(self.tok_encode(each[0])), each[0]), group_by="gen_kwargs")
        for group in groups.get_batched(n=0, batch_fn=None):
            texts, options, numbers = zip(*group, strict=True)
            for number, one in zip(numbers, self.write(texts, options[0]), strict=True):
                found[number] = one
        self.written = defaultdict(list)
        for request, one in zip(requests, found, strict=True):
            self.written[request.task_name, request.doc_id].append(one)
        return [one.text for one in found]

    def write(self, texts: list[str], options: dict) -> list[Written]:
        """The responses to some prompts.

        Args:
            texts: the prompts.
            options: as lm-eval has them: until, max_gen_toks, do_sample, temperature, top_p and top_k.

        Raises:
            UserError: a task asks for more than these.
        """
        way = self.way(options)
        rows = [self.tok_encode(text) for text in texts]
        return [one for one, _ in self.engine.write(rows, way)]

    def way(self, options: dict) -> Way:
        """How the responses to a task are written, from lm-eval's options.

        Raises:
            UserError: an option that not every engine has.
        """
        asked = normalize_gen_kwargs(options, self.max_gen_toks)
        stop, limit, is_sampled = asked.pop("until"), asked.pop("max_gen_toks"), asked.pop("do_sample")
        sampling = {name: asked.pop(name) for name in ("temperature", "top_p", "top_k") if name in asked}
        if asked:
            raise _unknown(asked)
        # A special token that a task stops at leaves no text, so it is looked for among the tokens.
        added = self.tokenizer.added_tokens_decoder.items()
        special = {token.content: number for number, token in added if token.special}
        ends = self.engine.ends | {special[text] for text in stop if text in special}
        stop = [text for text in stop if text and text not in special]
        return Way(limit, ends, self.seed, self.batch_size, stop=stop, **(sampling if is_sampled else {}))


def _unknown(options: dict) -> UserError:
    said = ", ".join(f"{name}: {value}" for name, value in options.items())
    return UserError(
        found=f"a task of lm-eval that generates with {said}",
        rule="responses are greedy, or sampled by temperature, top_p and top_k",
        why="no engine leaves out what it was asked for, and not every engine has more",
        fix="name another task, or write one of kind generation",
    )
