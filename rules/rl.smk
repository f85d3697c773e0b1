"""The same GRPO run from each SFT checkpoint."""


rule rl:
    """Runs GRPO with verified 0/1 rewards."""
    input:
        checkpoint=rerun.made("results/models/sft-{start}-{seed}"),
        prompts=rerun.made(lambda wildcards: config["rl"]["recipe"]["prompts"]),
        stamp=rerun.stamp("results/models/rl-{start}-{seed}"),
    output:
        directory("results/models/rl-{start}-{seed}"),
    log:
        "logs/rl-{start}-{seed}.log",
    benchmark:
        "logs/benchmarks/rl-{start}-{seed}.tsv"
    threads: 1
    params:
        stage="rl@{start}-{seed}",
    shell:
        REPRO
