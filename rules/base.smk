"""Base models: pretrained here, or loaded. Needs the pretraining text or the fetched files."""


use rule folder as base with:
    """Makes one base model."""
    wildcard_constraints:
        path=RUN.family("base"),
    priority: 4
    threads: RUN.threads
