"""SFT of a base on a behaviour policy's data: one checkpoint per arm and seed."""


use rule folder as sft with:
    """Finetunes a base with one objective."""
    wildcard_constraints:
        path=RUN.family("sft"),
    priority: 3
