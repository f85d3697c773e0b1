"""Recovery of pruned models on open or self-generated responses to the same prompts."""


use rule stage as respond with:
    """Writes one author's responses to the recovery prompts (self: sampled from the unpruned model)."""
    wildcard_constraints:
        path=RUN.family("respond"),
    priority: 2


use rule stage as mix with:
    """Mixes two authors' responses."""
    wildcard_constraints:
        path=RUN.family("mix"),
    priority: 2


use rule folder as recover with:
    """Finetunes a pruned model on one author's responses."""
    wildcard_constraints:
        path=RUN.family("recover"),
    priority: 2
