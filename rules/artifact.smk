"""Checkpoints to be handed out by name, with their scores in the model card."""


rule artifact:
    """Joins a checkpoint and its scores."""
    input:
        model=rerun.made(lambda wildcards: f"results/models/{config['artifacts'][wildcards.name]}"),
        evaluation=rerun.made(lambda wildcards: f"results/evals/{config['artifacts'][wildcards.name]}"),
        stamp=rerun.stamp("results/artifacts/{name}"),
    output:
        directory("results/artifacts/{name}"),
    log:
        "logs/artifact-{name}.log",
    benchmark:
        "logs/benchmarks/artifact-{name}.tsv"
    threads: 1
    params:
        stage="artifact@{name}",
    shell:
        REPRO
