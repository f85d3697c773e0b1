"""orchard: base model → SFT objective → RL → layer pruning → recovery → evaluation → report.

Snakemake schedules, DVC decides: see src/orchard/rerun/start.py. The graph stands in dvc.yaml; each family of stages
has a rule that says how its jobs run.
"""

import sys

sys.path.insert(0, f"{workflow.basedir}/src")  # this clone's code, whatever is installed
if workflow.is_main_process:
    from orchard.rerun.start import Run as Rules
else:  # a job on a cluster, which needs less
    from orchard.rerun.rules import Rules

RUN = Rules(workflow)


include: "rules/stage.smk"
include: "rules/data.smk"
include: "rules/base.smk"
include: "rules/sample.smk"
include: "rules/behave.smk"
include: "rules/sft.smk"
include: "rules/rl.smk"
include: "rules/prune.smk"
include: "rules/recover.smk"
include: "rules/evaluate.smk"
include: "rules/artifact.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        RUN.outputs,


onstart:
    RUN.on_start()


onsuccess:
    RUN.on_success()


onerror:
    RUN.on_end()
