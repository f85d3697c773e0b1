"""lm-eval's models, made strict: nothing is cut, nothing happens that a task did not ask for, tokens are kept."""

from collections import defaultdict

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import Collator, normalize_gen_kwargs

from orchard.errors import UserError
from orchard.models import cache, decoding, prompts, sampling
from orchard.models.prompts import Rendered, Written
from orchard.models.templates import Turn


class KeepsTokens:
    """What both backends share: how responses are written, and what is kept of them.

    Attributes:
        ends: the tokens that end a response.
        written: the responses to each request, by its task and the number of its item, in the order of the samples.
    """

    ends: frozenset[int]
    written: dict[tuple[str, int], list[Written]] = {}  # noqa: RUF012  (replaced as a whole)

    def generate_until(self, requests, disable_tqdm: bool = False) -> list[str]:
        """A response's text for each request; its tokens are kept in ``written``, as lm-eval keeps the text alone."""
        found: list[Written | None] = [None] * len(requests)
        asked = [(*request.args, number) for number, request in enumerate(requests)]
        # Batches as lm-eval forms them: requests of like length together, the longest first.
        batches = Collator(asked, lambda each: (-len(self.ids(each[0])), each[0]), group_by="gen_kwargs")
        for batch in batches.get_batched(n=int(self.batch_size)):
            texts, options, numbers = zip(*batch, strict=True)
            for number, one in zip(numbers, self.write([self.ids(text) for text in texts], options[0]), strict=True):
                found[number] = one
        self.written = defaultdict(list)
        for request, one in zip(requests, found, strict=True):
            self.written[request.task_name, request.doc_id].append(one)
        return [one.text for one in found]

    def write(self, rows: list[list[int]], options: dict) -> list[Written]:
        """The responses to a batch of prompts.

        Args:
            rows: the prompts' tokens.
            options: as lm-eval has them: until, max_gen_toks, do_sample, temperature and others.
        """
        asked = normalize_gen_kwargs(options, self.max_gen_toks)
        stop, limit = asked.pop("until"), asked.pop("max_gen_toks")
        self.check_fits(max(map(len, rows)), self.max_length - limit)
        # A special token that a task stops at leaves no text, so it is looked for among the tokens.
        added = self.tokenizer.added_tokens_decoder.items()
        special = {token.content: number for number, token in added if token.special}
        ends = self.ends | {special[text] for text in stop if text in special}
        stop = [text for text in stop if text and text not in special]
        generated = self.generated(rows, limit, ends, stop, asked)
        return [prompts.written(ids, ends, self.tokenizer, stop) for ids in generated]

    def generated(self, rows: list[list[int]], limit: int, ends: frozenset[int], stop: list[str], asked: dict):
        """The tokens that the model writes behind each prompt, perhaps with others behind the end."""
        raise NotImplementedError

    def ids(self, text: str) -> list[int]:
        """The tokens of a text to go on from."""
        return prompts.text_ids(self.tokenizer, text)

    def apply_chat_template(self, chat_history: list[Turn], add_generation_prompt: bool = True) -> Rendered:
        """What lm-eval asks, in the format of the model's base. An item's own conversation may be one of the turns."""
        turns = [turn for each in chat_history for turn in getattr(each["content"], "turns", [each])]
        return prompts.conversation(self.tokenizer, prompts.with_own_system(turns), not add_generation_prompt)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return prompts.pair_ids(self.tokenizer, context, continuation)

    def check_fits(self, tokens: int, room: int) -> None:
        """Refuses a prompt that would be cut from the left: it would lose BOS or its few-shot examples."""
        if tokens > room:
            raise UserError(
                found=f"a text of {tokens} tokens where {room} fit ({self.max_length} positions)",
                rule="prompt and answer fit into the model's positions",
                why="a prompt that is cut is another task",
                fix="lower max_new_tokens or few_shot.count, or use a model with more positions",
            )


class StrictLM(KeepsTokens, HFLM):
    """A loaded model for lm-eval.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer, which adds BOS itself if the model wants it.
        batch_size: sequences a forward pass.

    Raises:
        UserError: while it works: a text does not fit into the model's positions (lm-eval would cut it and go on).
    """

    def __init__(self, model, tokenizer, batch_size: int):
        self.ends = sampling.plain_settings(model, tokenizer)
        # log-probs in 32 bits, also of a model in 16
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, softmax_dtype="float32")

    def generated(self, rows, limit, ends, stop, asked) -> list[list[int]]:
        batch = prompts.padded(self.tokenizer, rows, "left", self.device)
        length = batch["input_ids"].shape[1]
        # lm-eval stops a batch when each row has one of these texts, so the tokens that end a row are among them.
        # That judges a batch as a whole, so rows leave it only where there is no such text.
        texts = [self.tokenizer.decode([end]) for end in ends] + stop if stop else []
        way = {} if texts else {"custom_generate": decoding.leaving}
        found = self._model_generate(
            context=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_length=length + limit,
            stop=texts,
            eos_token_id=sorted(ends),
            past_key_values=cache.roomy(self.model.config),
            **way,
            **asked,
        )
        return found[:, length:].tolist()

    def _loglikelihood_tokens(self, requests, **options):
        longest = max(len(context) + len(continuation) for _, context, continuation in requests)
        self.check_fits(longest - 1, self.max_length)  # the last token is only predicted
        return super()._loglikelihood_tokens(requests, **options)
