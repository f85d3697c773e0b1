"""Is each claim reproduced? The claims as data, what measures each of them, and the verdicts.

Imports: bound_study, evaluations, pear_study, pruned_study, statistics.
"""
