"""What model stages share: folders with their records and cards, training, sampling, likelihood, and layer surgery.

Imports: arithmetic, errors, files, paths, processes, study, tasks, yamls.
"""
