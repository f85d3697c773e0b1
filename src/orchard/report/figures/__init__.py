"""What does it look like? A figure is a table, its drawing and its words, all three in one place.

Imports: claims, evaluations, pear_study, pruned_study, statistics.
"""
