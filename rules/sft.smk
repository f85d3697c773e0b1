"""SFT of a base on a behaviour policy's data: one checkpoint for each arm and seed."""


rule sft:
    """Finetunes a base with one objective."""
    input:
        base=rerun.made(lambda wildcards: f"results/models/{RUNS['sft'][wildcards.run]['base']}"),
        data=rerun.made(lambda wildcards: f"data/behave/{RUNS['sft'][wildcards.run]['data']}"),
        stamp=rerun.stamp("results/models/sft-{run}"),
    output:
        directory("results/models/sft-{run}"),
    log:
        "logs/sft-{run}.log",
    benchmark:
        "logs/benchmarks/sft-{run}.tsv"
    priority: 3
    threads: 1
    resources:
        gpu=0,
    params:
        stage="sft@{run}",
    shell:
        TRAIN
