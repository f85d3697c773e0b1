"""Evaluation of every model of the DAG with lm-eval on the study's tasks."""

EVAL_SETS = [
    f"data/eval/{name}.jsonl"
    for kind in ("generate", "ingest")
    for name, settings in config["data"][kind].items()
    if settings["role"] == "eval"
]


rule evaluate:
    """Scores one model; keeps each item's score and each sample."""
    input:
        model=rerun.made("results/models/{model}"),
        sets=rerun.made(EVAL_SETS),
        stamp=rerun.stamp("results/evals/{model}"),
    output:
        directory("results/evals/{model}"),
    log:
        "logs/evaluate-{model}.log",
    benchmark:
        "logs/benchmarks/evaluate-{model}.tsv"
    threads: 1
    params:
        stage="evaluate@{model}",
    shell:
        REPRO
