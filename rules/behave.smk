"""Behaviour policies and their offline data, with log-probs. Needs a model (for its tokenizer, or to sample from)."""


use rule folder as behave with:
    """Writes one policy's responses to the SFT prompts, with the log-prob of each token."""
    wildcard_constraints:
        path=RUN.family("behave"),
    priority: 3
