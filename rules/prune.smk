"""Layer pruning of any model of the DAG."""


rule prune:
    """Drops a share of a model's layers."""
    input:
        model=rerun.made("results/models/{of}"),
        calibration=rerun.made(lambda wildcards: config["prune"]["calibration"]["items"]),
        stamp=rerun.stamp("results/models/prune-{of}-{method}-{ratio}"),
    output:
        directory("results/models/prune-{of}-{method}-{ratio}"),
    log:
        "logs/prune-{of}-{method}-{ratio}.log",
    benchmark:
        "logs/benchmarks/prune-{of}-{method}-{ratio}.tsv"
    threads: 1
    params:
        stage="prune@{of}-{method}-{ratio}",
    shell:
        REPRO
