"""What all stages have in common: a job is one stage of dvc.yaml, which says what it reads and writes.

A family's rule says which outputs are its own, and what is special about its jobs. Priorities: what has the longest
chain behind it goes first, so that no core waits at the end.
"""


rule stage:
    """Makes one output that is a file."""
    input:
        RUN.inputs,
    output:
        "{path}",
    log:
        "logs/{path}.log",
    benchmark:
        "logs/benchmarks/{path}.tsv"
    wildcard_constraints:
        path="$none",  # no output is this rule's own
    threads: 1
    resources:
        gpu=0,  # a profile gives more; a stage that trains runs one process per GPU
    params:
        stage=RUN.stage,
    shell:
        "export ORCHARD_PROCESSES={resources.gpu}; exec python -m orchard.rerun.job {params.stage} > {log} 2>&1"


use rule stage as folder with:
    """Makes one output that is a folder."""
    output:
        directory("{path}"),
