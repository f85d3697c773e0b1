"""Layer pruning of any model of the DAG."""


rule prune:
    """Drops a share of a model's layers."""
    input:
        model=rerun.made(lambda wildcards: f"results/models/{RUNS['prune'][wildcards.run]['of']}"),
        calibration=rerun.made(lambda wildcards: config["prune"]["calibration"]["items"]),
        stamp=rerun.stamp("results/models/prune-{run}"),
    output:
        directory("results/models/prune-{run}"),
    log:
        "logs/prune-{run}.log",
    benchmark:
        "logs/benchmarks/prune-{run}.tsv"
    threads: 1
    params:
        stage="prune@{run}",
    shell:
        REPRO
