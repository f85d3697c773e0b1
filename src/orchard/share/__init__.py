"""How findings leave the folder: outputs pushed to a remote, a release tagged, a report published in the repository.

Imports: errors, git, links, paths, lineage, rerun.
"""
