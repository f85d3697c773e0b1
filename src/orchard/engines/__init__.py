"""What runs a model that is not trained: one interface, and three engines behind it.

Imports: errors, models, paths, processes, study.
"""
