"""What a model generates by: what it is asked alone, and nothing that its checkpoint brings along."""

from transformers import GenerationConfig

from orchard.errors import refuse_none
from orchard.models import prompts


def plain_settings(model, tokenizer) -> frozenset[int]:
    """Lets a model generate by what it is asked alone, and returns the tokens that end its responses.

    A checkpoint's generation_config may bring a repetition penalty, suppressed tokens or the like. What is sampled then
    is another distribution's than the model's, so of these settings only the tokens that end a response are kept.

    Args:
        model: a causal language model, whose generation_config is replaced.
        tokenizer: its tokenizer.
    """
    ends = prompts.ends(model, tokenizer)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(ends) if len(ends) > 1 else tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return ends


def refuse_silence(written: list[tuple[list[int], bool]], who: str, fix: str) -> None:
    """Refuses responses without a single token but those that ended them.

    Args:
        written: of each response its token ids, and whether max_new_tokens cut it off.
        who: wrote them.
        fix: what to change.

    Raises:
        UserError: nothing was written.
    """
    tokens = sum(len(ids) - (not cut) for ids, cut in written)
    refuse_none(tokens, f"{who} ended each of its {len(written)} responses at once", fix)


def reset_settings(settings: GenerationConfig) -> dict:
    """What a checkpoint's generation_config asks for besides the tokens that end a response: none of it is kept."""
    asked = settings.to_diff_dict()
    return {key: asked[key] for key in sorted(asked) if not key.endswith("token_id") and key != "transformers_version"}
