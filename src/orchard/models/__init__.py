"""What model stages share: folders with their records and cards, training, sampling, likelihood, and layer surgery.

Imports: errors, processes, study, tasks.
"""
