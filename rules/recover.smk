"""Recovery of pruned models on open or self-generated responses to the same prompts."""


rule respond:
    """Writes one author's responses to the recovery prompts (self: sampled from the unpruned model)."""
    input:
        model=rerun.made("results/models/{of}"),
        prompts=rerun.made(lambda wildcards: config["recover"]["prompts"]),
        stamp=rerun.stamp("data/responses/{of}-{author}.jsonl"),
    output:
        "data/responses/{of}-{author}.jsonl",
    log:
        "logs/respond-responses-{of}-{author}.log",
    benchmark:
        "logs/benchmarks/respond-responses-{of}-{author}.tsv"
    threads: 1
    params:
        stage="respond@{of}-{author}",
    shell:
        REPRO


rule recover:
    """Finetunes a pruned model on one author's responses."""
    input:
        pruned=rerun.made("results/models/prune-{of}-{method}-{ratio}"),
        responses=rerun.made("data/responses/{of}-{author}.jsonl"),
        stamp=rerun.stamp("results/models/recover-{of}-{method}-{ratio}-{author}-{seed}"),
    output:
        directory("results/models/recover-{of}-{method}-{ratio}-{author}-{seed}"),
    log:
        "logs/recover-{of}-{method}-{ratio}-{author}-{seed}.log",
    benchmark:
        "logs/benchmarks/recover-{of}-{method}-{ratio}-{author}-{seed}.tsv"
    threads: 1
    params:
        stage="recover@{of}-{method}-{ratio}-{author}-{seed}",
    shell:
        REPRO
