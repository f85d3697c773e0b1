"""Evaluation of every model of the DAG with lm-eval on the study's tasks."""


use rule folder as evaluate with:
    """Scores one model; keeps each item's score and each sample."""
    wildcard_constraints:
        path=RUN.family("evaluate"),
