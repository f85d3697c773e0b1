"""Sampling of responses from a model, in batches, with the log-probs under the distribution that was sampled from."""

from collections.abc import Iterator

import torch


@torch.inference_mode()
def sample(
    model, tokenizer, prompts: list[str], settings: dict, progress=None
) -> Iterator[tuple[str, list[int], list[float]]]:
    """One response for each prompt, in order: (text, token ids with EOS, log-prob of each id in nats).

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer; prompts are padded on the left.
        prompts: the texts to go on from.
        settings: seed, temperature (0 is greedy), top_p (1 is off), max_new_tokens, batch_size.
        progress: told the number of prompts done after each batch, if given.
    """
    torch.manual_seed(settings["seed"])
    options = {"do_sample": False}
    if settings["temperature"] > 0:
        options = {"do_sample": True, "temperature": settings["temperature"], "top_p": settings["top_p"], "top_k": 0}
    for start in range(0, len(prompts), settings["batch_size"]):
        batch = tokenizer(
            prompts[start : start + settings["batch_size"]], return_tensors="pt", padding=True, padding_side="left"
        )
        generated = model.generate(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            max_new_tokens=settings["max_new_tokens"],
            pad_token_id=tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
            **options,
        )
        responses = generated.sequences[:, batch["input_ids"].shape[1] :]
        logps = torch.stack([logits.float().log_softmax(-1) for logits in generated.logits], dim=1)
        logps = logps.gather(-1, responses.unsqueeze(-1)).squeeze(-1)
        for ids, token_logps in zip(responses.tolist(), logps.tolist(), strict=True):
            length = ids.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in ids else len(ids)
            yield tokenizer.decode(ids[:length], skip_special_tokens=True), ids[:length], token_logps[:length]
        if progress:
            progress.step(min(start + settings["batch_size"], len(prompts)))
