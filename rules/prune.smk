"""Layer pruning of any model of the DAG, by a measurement on calibration texts or by greedy search."""


use rule folder as search with:
    """Searches for the layers to drop, greedily."""
    wildcard_constraints:
        path=RUN.family("search"),
    priority: 2


use rule folder as prune with:
    """Drops layers of a model."""
    wildcard_constraints:
        path=RUN.family("prune"),
    priority: 1
