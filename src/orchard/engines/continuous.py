"""The continuous engine: transformers' own continuous batching, in which a row that ends makes room for another."""

from collections.abc import Iterator

from transformers import GenerationConfig
from transformers.generation import ContinuousBatchingConfig

from orchard.engines.engine import Generated, Way
from orchard.engines.static import Static
from orchard.models import loading
from orchard.models.seeds import seed_of


class Continuous(Static):
    """A model in this process, which writes to as many prompts at once as its memory lets. It scores as `Static`.

    It tells log-probs of the distribution that it samples from, so they are the model's own at temperature 0 or 1 and
    top_p 1; it tells no other likely tokens. Stop texts end a response where it is cut, and save no work.
    """

    def _generate(self, rows: list[list[int]], way: Way) -> Iterator[Generated]:
        is_own = way.temperature in (0, 1) and way.top_p == 1 and not way.top_k
        if way.told or (way.told is not None and not is_own):
            raise ValueError("continuous batching tells log-probs of sampled tokens alone, as they were sampled")
        sampled = {"do_sample": True, "temperature": way.temperature, "top_p": way.top_p, "top_k": way.top_k}
        settings = GenerationConfig(
            max_new_tokens=way.max_new_tokens,
            eos_token_id=sorted(way.ends),
            pad_token_id=self.tokenizer.pad_token_id,
            **(sampled if way.temperature > 0 else {"do_sample": False}),
        )
        batching = {"seed": seed_of("continuous", way.seed, way.first), "max_memory_percent": loading.settings().memory}
        outputs = batched(self.model, rows, settings, **batching, return_logprobs=way.told is not None)
        for output in outputs:
            nothing = [[] for _ in output.logprobs]
            yield Generated(output.generated_tokens, output.logprobs, nothing, nothing)


def batched(model, rows: list[list[int]], settings: GenerationConfig, **batching) -> list:
    """What continuous batching made of each prompt.

    Args:
        model: a causal language model.
        rows: the prompts' tokens.
        settings: for generation.
        batching: of transformers' ContinuousBatchingConfig.

    Raises:
        RuntimeError: a response is missing or failed; transformers only logs it, and gives what there is.
    """
    config = ContinuousBatchingConfig(drop_unsupported_processors=False, **batching)
    found = model.generate_batch(rows, generation_config=settings, continuous_batching_config=config)
    failed = [output.error for output in found.values() if output.error is not None]
    if failed or len(found) != len(rows):
        raise RuntimeError(f"continuous batching gave {len(found) - len(failed)} of {len(rows)} responses: {failed}")
    return list(found.values())
