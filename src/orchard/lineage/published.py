"""Yours against the published: how a run's claims stand beside those in docs/report, where these are of its study."""

from orchard import paths
from orchard.lineage import agreement, compare


def beside() -> str:
    """What is said at a run's end; nothing where there is no report, or the published one is of another study."""
    params = paths.DOCS_REPORT / paths.PARAMS.name
    tables = [folder / compare.CLAIMS.name for folder in (paths.REPORT, paths.DOCS_REPORT)]
    if not all(path.is_file() for path in [params, *tables]) or params.read_bytes() != paths.PARAMS.read_bytes():
        return ""
    ours, theirs = map(compare.table_of, tables)
    lines = [*agreement.lines(ours, theirs), *compare.claim_changes(theirs, ours)]
    return "\n  ".join([f"Yours against the published ({paths.DOCS_REPORT}):", *lines])
