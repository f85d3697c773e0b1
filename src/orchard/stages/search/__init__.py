"""Which layers a model can do without, judged by its responses: greedy search, and the best of sampled sets.

Imports: kept, stage.
"""
