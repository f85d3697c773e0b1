"""Behaviour policies and their offline data, with log-probs. Needs a model (for its tokenizer, or to sample from)."""


rule behave:
    """Writes one policy's responses to the SFT prompts, with the log-prob of each token."""
    input:
        model=rerun.made(lambda wildcards: f"results/models/{config['behave'][wildcards.policy]['model']}"),
        prompts=rerun.made(lambda wildcards: config["behave"][wildcards.policy]["prompts"]),
        stamp=rerun.stamp("data/behave/{policy}"),
    output:
        directory("data/behave/{policy}"),
    log:
        "logs/behave-{policy}.log",
    benchmark:
        "logs/benchmarks/behave-{policy}.tsv"
    priority: 3
    threads: 1
    params:
        stage="behave@{policy}",
    shell:
        REPRO
