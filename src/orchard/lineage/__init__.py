"""What a result is made of: dvc.yaml's graph, dvc.lock, what is stale and why, where a number comes from. Reads only,
and keeps what it parsed in .dvc/tmp.

Imports: errors, git, imports, links, paths, processes, yamls, study.
"""
