"""The same GRPO run from each SFT checkpoint."""


use rule folder as rl with:
    """Runs GRPO with verified 0/1 rewards."""
    wildcard_constraints:
        path=RUN.family("rl"),
    priority: 3
