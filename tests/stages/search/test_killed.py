"""The search stage, killed and started again."""

import shutil
import subprocess
import time

from orchard import paths
from orchard.models import record
from orchard.study.schema.prune import SearchRun
from tests.helpers import small_study as small
from tests.helpers.stages import ENVIRONMENT, command


def test_a_search_killed_at_any_moment_goes_on_to_the_same_bytes(small_study):
    search = command("search", small.MODEL, SearchRun(of=small.MODEL, ratios=[2]))
    folder = paths.search(small.MODEL)
    subprocess.run(search, check=True, capture_output=True, env=ENVIRONMENT)
    undisturbed, kills = record.content_hash(folder), 0
    shutil.rmtree(folder)
    for files in (1, 2):
        process = subprocess.Popen(search, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len([*(paths.RESUME / folder).rglob("*.json")]) < files:
            time.sleep(0.001)
        process.kill()
        kills += process.wait() < 0
    assert kills == 2
    subprocess.run(search, check=True, capture_output=True, env=ENVIRONMENT)
    assert record.content_hash(folder) == undisturbed
