"""Layer pruning of any model of the DAG, by a measurement on calibration texts or by greedy search."""

CALIBRATION_SETS = [
    f"data/calibration/{name}.jsonl"
    for kind in ("generate", "ingest")
    for name, settings in config["data"][kind].items()
    if settings["role"] == "calibration"
]


rule search:
    """Searches for the layers to drop, greedily."""
    input:
        model=rerun.made("results/models/{model}"),
        sets=rerun.made(CALIBRATION_SETS),
        stamp=rerun.stamp("results/searches/{model}"),
    output:
        directory("results/searches/{model}"),
    log:
        "logs/search-{model}.log",
    benchmark:
        "logs/benchmarks/search-{model}.tsv"
    priority: 2
    threads: 1
    params:
        stage="search@{model}",
    shell:
        REPRO


rule prune:
    """Drops layers of a model."""
    input:
        model=rerun.made(lambda wildcards: f"results/models/{RUNS['prune'][wildcards.run]['of']}"),
        chosen_on=rerun.made(lambda wildcards: RUNS["prune"][wildcards.run]["chosen_on"]),
        stamp=rerun.stamp("results/models/prune-{run}"),
    output:
        directory("results/models/prune-{run}"),
    log:
        "logs/prune-{run}.log",
    benchmark:
        "logs/benchmarks/prune-{run}.tsv"
    priority: 1
    threads: 1
    params:
        stage="prune@{run}",
    shell:
        REPRO
