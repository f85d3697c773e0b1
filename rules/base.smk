"""Base models: pretrained here, or loaded. Needs the pretraining text or the fetched files."""


rule base:
    """Makes one base model."""
    input:
        source=rerun.made(lambda wildcards: config["base"][wildcards.base]["source"]),
        stamp=rerun.stamp("results/models/base-{base}"),
    output:
        directory("results/models/base-{base}"),
    log:
        "logs/base-{base}.log",
    benchmark:
        "logs/benchmarks/base-{base}.tsv"
    priority: 4
    threads: lambda wildcards: config["base"][wildcards.base]["threads"]
    resources:
        gpu=0,
    params:
        stage="base@{base}",
    shell:
        TRAIN
