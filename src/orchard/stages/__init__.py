"""What a job does: one module or package per family of stages, named as its rule.

Imports: arithmetic, engines, environment, errors, files, imports, jsonl, links, paths, processes, yamls, tasks, study,
models,
report.
"""

import sys

from orchard import environment, processes

if sys.argv[:1] == ["-m"]:  # a stage is starting: its libraries take seconds, in which its parent may be killed
    processes.die_with_parent()
    processes.settle()
    processes.ask_nothing()
environment.set_up()
