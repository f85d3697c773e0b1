"""The report: tables, figures, claims and the page. Needs every evaluation."""


rule report:
    """Draws up the report."""
    input:
        evaluations=rerun.made(expand("results/evals/{model}", model=RUNS["evaluate"])),
        step_times="docs/pear/step_times.csv",
        speeds="docs/pruning/speed.csv",
        stamp=rerun.stamp("results/report"),
    output:
        report(directory("results/report"), category="Claims", htmlindex="index.html"),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    threads: 1
    params:
        stage="report",
    shell:
        REPRO
