"""orchard: SFT objective → RL → layer pruning → recovery → evaluation → report.

Snakemake schedules, DVC decides: a stage that DVC calls unchanged has a marker in .dvc/tmp/fresh/, a changed one has none.
"""

from orchard import rerun

STAGES = rerun.prepare(workflow)


include: "rules/data.smk"
include: "rules/base.smk"
include: "rules/sft.smk"
include: "rules/rl.smk"
include: "rules/prune.smk"
include: "rules/recover.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        [rerun.marker(stage) for stage in STAGES],


onstart:
    rerun.tell_progress(STAGES)


onerror:
    rerun.tell_failure()
