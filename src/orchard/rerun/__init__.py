"""When a job runs: Snakemake schedules, DVC decides.

Starting a run, its jobs, the remote, and every patch of both tools.

Imports: arithmetic, environment, errors, files, links, paths, processes, yamls, study, lineage.
"""
