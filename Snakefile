"""orchard: base model → SFT objective → RL → layer pruning → recovery → evaluation → report.

Snakemake schedules, DVC decides (src/orchard/rerun.py): a stage that DVC calls changed has a new stamp among its inputs,
so its job runs `dvc repro` of that stage.
"""

import sys

sys.path.insert(0, f"{workflow.basedir}/src")  # this clone's code, whatever is installed
from orchard import costs, rerun, runs


configfile: "config.yaml"


OUTPUTS = rerun.prepare(workflow)
RUNS = runs.expand(config)
REPRO = "exec python -m orchard.job {params.stage} > {log} 2>&1"
TRAIN = f"export ORCHARD_PROCESSES={{resources.gpu}}; {REPRO}"  # one process a GPU; a profile gives more than none

# Priorities in the rules: what has the longest chain behind it goes first, so that no core waits at the end.


include: "rules/data.smk"
include: "rules/base.smk"
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
        OUTPUTS,


onstart:
    rerun.lift_job_rate(workflow)
    rerun.tell_progress()


onsuccess:
    costs.write_page()


onerror:
    rerun.tell_failures()
    costs.write_page()
