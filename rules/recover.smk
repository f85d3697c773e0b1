"""Recovery of pruned models on open or self-generated responses to the same prompts."""


rule respond:
    """Writes one author's responses to the recovery prompts (self: sampled from the unpruned model)."""
    input:
        model=ancient("results/models/{of}"),
        prompts=ancient(config["recover"]["prompts"]),
    output:
        "data/responses/{of}-{author}.jsonl",
        fresh=touch(rerun.marker("data/responses/{of}-{author}.jsonl")),
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
        pruned=ancient("results/models/prune-{of}-{method}-{ratio}"),
        responses=ancient("data/responses/{of}-{author}.jsonl"),
    output:
        directory("results/models/recover-{of}-{method}-{ratio}-{author}-{seed}"),
        fresh=touch(rerun.marker("results/models/recover-{of}-{method}-{ratio}-{author}-{seed}")),
    log:
        "logs/recover-{of}-{method}-{ratio}-{author}-{seed}.log",
    benchmark:
        "logs/benchmarks/recover-{of}-{method}-{ratio}-{author}-{seed}.tsv"
    threads: 1
    params:
        stage="recover@{of}-{method}-{ratio}-{author}-{seed}",
    shell:
        REPRO
