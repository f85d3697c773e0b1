"""What a model learns from its own rollouts: GRPO from a checkpoint.

Imports: kept, stage.
"""
