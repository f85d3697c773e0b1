"""Recovery of pruned models on open or self-generated responses to the same prompts."""

RECOVERY_SETS = [
    f"data/recovery/{name}.jsonl"
    for kind in ("generate", "ingest")
    for name, settings in config["data"][kind].items()
    if settings["role"] == "recovery"
]


rule respond:
    """Writes one author's responses to the recovery prompts (self: sampled from the unpruned model)."""
    input:
        model=rerun.made(lambda wildcards: f"results/models/{RUNS['respond'][wildcards.run]['of']}"),
        prompts=rerun.made(
            RECOVERY_SETS if config["recover"]["prompts"] == "data/recovery" else config["recover"]["prompts"]
        ),
        stamp=rerun.stamp("data/responses/{run}.jsonl"),
    output:
        "data/responses/{run}.jsonl",
    log:
        "logs/respond-{run}.log",
    benchmark:
        "logs/benchmarks/respond-{run}.tsv"
    wildcard_constraints:
        run="|".join([*RUNS["respond"], "none"]),
    priority: 2
    threads: 1
    params:
        stage="respond@{run}",
    shell:
        REPRO


rule mix:
    """Mixes two authors' responses."""
    input:
        first=rerun.made(lambda wildcards: f"data/responses/{RUNS['mix'][wildcards.run]['first']}.jsonl"),
        second=rerun.made(lambda wildcards: f"data/responses/{RUNS['mix'][wildcards.run]['second']}.jsonl"),
        stamp=rerun.stamp("data/responses/{run}.jsonl"),
    output:
        "data/responses/{run}.jsonl",
    log:
        "logs/mix-{run}.log",
    benchmark:
        "logs/benchmarks/mix-{run}.tsv"
    wildcard_constraints:
        run="|".join([*RUNS["mix"], "none"]),
    priority: 2
    threads: 1
    params:
        stage="mix@{run}",
    shell:
        REPRO


rule recover:
    """Finetunes a pruned model on one author's responses."""
    input:
        pruned=rerun.made(lambda wildcards: f"results/models/{RUNS['recover'][wildcards.run]['pruned']}"),
        responses=rerun.made(lambda wildcards: f"data/responses/{RUNS['recover'][wildcards.run]['responses']}.jsonl"),
        stamp=rerun.stamp("results/models/recover-{run}"),
    output:
        directory("results/models/recover-{run}"),
    log:
        "logs/recover-{run}.log",
    benchmark:
        "logs/benchmarks/recover-{run}.tsv"
    priority: 2
    threads: 1
    resources:
        gpu=0,
    params:
        stage="recover@{run}",
    shell:
        TRAIN
