"""Brings the files of a public benchmark into orchard's form: items, one JSON object per line.

python -m orchard.stages.ingest SET
"""

from orchard import jsonl, paths
from orchard.stages import stage
from orchard.study.schema.data import Ingest
from orchard.tasks import benchmarks, registry


def main(name: str) -> None:
    asked = stage.params(Ingest, "data", "ingest", name)
    items = registry.stamped(ingest(asked))
    with stage.output(paths.data_set(asked.role, name)) as scratch:
        jsonl.write(scratch, items)


def ingest(asked: Ingest) -> list[dict]:
    """The items of a set.

    Raises:
        UserError: there is no such file, or a row is broken or lacks a field (file and row are named).
    """
    return benchmarks.read(asked.path, asked.format, asked.offset, asked.limit, asked.seed)


if __name__ == "__main__":
    stage.run(main, computes=False)
