"""Checkpoints to be handed out by name, with their scores in the model card."""


use rule folder as artifact with:
    """Joins a checkpoint and its scores."""
    wildcard_constraints:
        path=RUN.family("artifact"),
