"""lm-eval's vLLM model, made strict. This module is imported where vLLM is installed."""

from pathlib import Path

from lm_eval.models.vllm_causallms import VLLM
from transformers import GenerationConfig
from vllm import SamplingParams

from orchard.models import checkpoint, folders, loading, prompts
from orchard.stages.evaluate.lm import KeepsTokens


class StrictVLLM(KeepsTokens, VLLM):
    """A model that vLLM runs.

    Args:
        folder: of the model.
        batch_size: sequences that are given to vLLM at once.
        seed: of the samples.
    """

    def __init__(self, folder: Path, batch_size: int, seed: int):
        checkpoint.refuse_unfit(folder)
        super().__init__(str(folder), dtype=loading.settings().dtype, batch_size=batch_size, seed=seed)
        self.tokenizer = folders.load_tokenizer(folder)
        self.ends = prompts.named_ends(GenerationConfig.from_pretrained(folder), self.tokenizer)

    def generated(self, rows, limit, ends, stop, asked) -> list[list[int]]:
        options, _, _ = self.modify_gen_kwargs({**asked, "until": []}, eos="", default_max_gen_toks=limit)
        one = SamplingParams(max_tokens=limit, stop=stop, stop_token_ids=sorted(ends), **options)
        found = self._model_generate(requests=rows, generate=True, sampling_params=[one] * len(rows))
        return [list(output.outputs[0].token_ids) for output in found]
