"""What models write, in shards: for behaviour policies and for authors of recovery data. Needs a model and prompts."""


use rule stage as sample with:
    """Samples one shard of what a model writes."""
    wildcard_constraints:
        path=RUN.family("sample"),
    priority: 3
