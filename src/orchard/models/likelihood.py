"""What a model thinks of given responses: the log-prob of each of their tokens."""

import numpy as np
import torch

TOKENS = 4096  # of a forward pass, with padding: ours; their logits over 50,000 words are 0.8 GB


@torch.inference_mode()
def completion_logps(model, rows: list[dict], pad_token_id: int) -> list[list[float]]:
    """The log-prob, in nats, of each completion token of each row.

    Args:
        model: a causal language model in evaluation mode.
        rows: with prompt_ids and completion_ids.
        pad_token_id: fills shorter rows up, on the right.
    """
    lengths = [len(row["prompt_ids"]) + len(row["completion_ids"]) for row in rows]
    order = sorted(range(len(rows)), key=lambda n: -lengths[n])
    found: list[list[float]] = [[] for _ in rows]
    while order:
        count = max(1, TOKENS // lengths[order[0]])
        chosen, order = order[:count], order[count:]
        texts = [torch.tensor([*rows[n]["prompt_ids"], *rows[n]["completion_ids"]]) for n in chosen]
        ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=pad_token_id).to(model.device)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
        logits = model(input_ids=ids, attention_mask=mask.to(model.device)).logits[:, :-1].float()
        logps = logits.log_softmax(-1).gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1).tolist()
        for n, row in zip(chosen, logps, strict=True):
            found[n] = row[len(rows[n]["prompt_ids"]) - 1 : lengths[n] - 1]
    return found


def summary(rows: list[dict], start_logps: list[list[float]]) -> dict[str, float]:
    """How far a data set is from the model that starts on it: mean log-probs and mean log-ratio a token, in nats.

    Args:
        rows: with behavior_logps.
        start_logps: log pi_0 of each completion token.
    """
    ours, theirs = np.concatenate(start_logps), np.concatenate([row["behavior_logps"] for row in rows])
    return {
        "mean_log_prob_start": round(float(ours.mean()), 6),
        "mean_log_prob_behavior": round(float(theirs.mean()), 6),
        "mean_log_ratio": round(float((ours - theirs).mean()), 6),
        "overlap": round(float(np.minimum(1.0, np.exp(ours - theirs)).mean()), 6),
    }
