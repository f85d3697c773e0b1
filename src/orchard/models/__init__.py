"""What model stages share: folders with their records and cards, training, sampling, likelihood, and layer surgery.

Imports: arithmetic, errors, processes, study, tasks.
"""
