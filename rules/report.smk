"""The report: tables, figures, claims and the page. Needs every evaluation."""

EVALUATED = [
    *expand("base-{name}", name=config["base"]),
    *expand("{stage}-{arm}-{seed}", stage=["sft", "rl"], arm=config["sft"]["arms"], seed=config["sft"]["seeds"]),
    *expand(
        "prune-{of}-{method}-{ratio}",
        of=config["prune"]["of"],
        method=config["prune"]["methods"],
        ratio=config["prune"]["ratios"],
    ),
    *expand(
        "recover-{of}-{method}-{ratio}-{author}-{seed}",
        of=config["recover"]["of"],
        method=config["recover"]["methods"],
        ratio=config["recover"]["ratios"],
        author=config["recover"]["authors"],
        seed=config["recover"]["seeds"],
    ),
]


rule report:
    """Draws up the report."""
    input:
        evaluations=rerun.made(expand("results/evals/{model}", model=EVALUATED)),
        stamp=rerun.stamp("results/report"),
    output:
        directory("results/report"),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    threads: 1
    params:
        stage="report",
    shell:
        REPRO
