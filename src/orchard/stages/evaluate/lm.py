"""lm-eval's Hugging Face model, made strict: nothing is cut, nothing happens that a task did not ask for."""

from lm_eval.models.huggingface import HFLM
from transformers import GenerationConfig

from orchard.errors import UserError
from orchard.models import templates


class StrictLM(HFLM):
    """A loaded model for lm-eval.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer, which adds BOS itself if the model wants it.
        batch_size: sequences a forward pass.

    Raises:
        UserError: while it works: a text does not fit into the model's positions (lm-eval would cut it and go on).
    """

    def __init__(self, model, tokenizer, batch_size: int):
        # A checkpoint may bring its own repetition penalty or the like; what a task does not ask for must not happen.
        model.generation_config = GenerationConfig(
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
        )
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)

    def tok_batch_encode(self, strings, padding_side="left", left_truncate_len=None, truncation=False):
        ids, mask = super().tok_batch_encode(strings, padding_side)
        self.check_fits(ids.shape[1], left_truncate_len or self.max_length)
        return ids, mask

    def _loglikelihood_tokens(self, requests, **options):
        longest = max(len(context) + len(continuation) for _, context, continuation in requests)
        self.check_fits(longest - 1, self.max_length)  # the last token is only predicted
        return super()._loglikelihood_tokens(requests, **options)

    def check_fits(self, tokens: int, room: int) -> None:
        """Refuses a prompt that would be cut from the left: it would lose BOS or its few-shot examples."""
        if tokens > room:
            raise UserError(
                found=f"a text of {tokens} tokens where {room} fit ({self.max_length} positions)",
                rule="prompt and answer fit into the model's positions",
                why="a prompt that is cut is another task",
                fix="lower max_new_tokens or few_shot.count, or use a model with more positions",
            )

    def apply_chat_template(self, chat_history, add_generation_prompt: bool = True) -> str:
        return templates.render(self.tokenizer, chat_history, add_generation_prompt)
