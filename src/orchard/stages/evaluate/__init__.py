"""How good a model is: lm-evaluation-harness on each task, and measures of its responses.

Imports: kept, lm_tasks, stage.
"""
