"""When a job runs: Snakemake schedules, DVC decides.

Starting a run, its jobs, the remote, and every patch of both tools.

Imports: errors, links, paths, processes, yamls, study, lineage.
"""
