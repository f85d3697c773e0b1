"""What a result is made of: dvc.yaml's graph, dvc.lock, what is stale and why, where a number comes from. Reads only.

Imports: errors, git, imports, paths, processes, yamls, study.
"""
