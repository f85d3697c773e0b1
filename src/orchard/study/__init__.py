"""What is asked: the schema of a study, its checks, how config.yaml becomes a whole study, and the runs that follow.

Imports: errors, git, jsonl, paths, rows, yamls, tasks.
"""
