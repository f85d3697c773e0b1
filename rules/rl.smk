"""The same GRPO run from each SFT checkpoint."""


rule rl:
    """Runs GRPO with verified 0/1 rewards."""
    input:
        checkpoint=rerun.made(lambda wildcards: f"results/models/{RUNS['rl'][wildcards.run]['start']}"),
        prompts=rerun.made(lambda wildcards: RUNS["rl"][wildcards.run]["prompts"]),
        stamp=rerun.stamp("results/models/rl-{run}"),
    output:
        directory("results/models/rl-{run}"),
    log:
        "logs/rl-{run}.log",
    benchmark:
        "logs/benchmarks/rl-{run}.tsv"
    priority: 3
    threads: 1
    resources:
        gpu=0,
    params:
        stage="rl@{run}",
    shell:
        TRAIN
