"""What it costs that many jobs share DVC's one lock: wall and CPU time, and how long jobs waited.

    PYTHONPATH=. python benchmarks/many_stages.py --stages 200

Each stage generates four items, so that nearly all of the time is DVC's and Snakemake's own.
"""

import argparse
import re
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.usage import adopt_orphans, cpu_seconds
from tests.helpers.many import with_sets

from orchard import paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=200)
    parser.add_argument("--at-once", type=int, help="jobs at once; all by default")
    chosen = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        project, files = with_sets(Path(folder) / "many", chosen.stages)
        start, before = time.monotonic(), cpu_seconds()
        project.snakemake("--cores", str(chosen.at_once or chosen.stages), *files)
        wall, cpu = time.monotonic() - start, cpu_seconds() - before
        logs = [log.read_text() for log in (project.folder / paths.LOGS).rglob("*.log")]
    waited = [sum(map(float, re.findall(r"^waited (\S+) s", log, re.M))) for log in logs]
    print(f"{chosen.stages} stages: {wall:.0f} s, {cpu:.0f} CPU seconds, {cpu / chosen.stages:.2f} a stage")
    print(f"a job waited {statistics.median(waited):.1f} s for the lock (median), at most {max(waited):.1f} s")


if __name__ == "__main__":
    main()
