"""SFT of the base on the behaviour policy's data: one checkpoint for each objective and seed."""


rule sft:
    """Finetunes the base with one objective."""
    input:
        base=rerun.made(lambda wildcards: f"results/models/{config['sft']['base']}"),
        data=rerun.made(lambda wildcards: f"data/behave/{config['sft']['data']}.parquet"),
        stamp=rerun.stamp("results/models/sft-{objective}-{seed}"),
    output:
        directory("results/models/sft-{objective}-{seed}"),
    log:
        "logs/sft-{objective}-{seed}.log",
    benchmark:
        "logs/benchmarks/sft-{objective}-{seed}.tsv"
    threads: 1
    params:
        stage="sft@{objective}-{seed}",
    shell:
        REPRO
