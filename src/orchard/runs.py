"""The instances of every stage, worked out from the config and written to runs.yaml.

dvc.yaml and the rules both read this one list, so that they cannot differ on what there is to run, and neither needs to
look anything up. runs.yaml is committed; every run of Snakemake and `python -m orchard check` bring it up to date.
"""

from pathlib import Path

import yaml

RUNS = Path("runs.yaml")
HEADER = "# Made from config.yaml by `python -m orchard check` and by every run of Snakemake: do not edit.\n"


def expand(study: dict) -> dict[str, dict[str, dict]]:
    """What runs: for each stage family, the instances by name, each with what its command and its inputs need.

    Args:
        study: the content of config.yaml, valid in its types.
    """
    runs = {"sft": sft(study["sft"])}
    runs["rl"] = rl(study["rl"], runs["sft"])
    runs["prune"] = prune(study["prune"])
    runs["respond"] = {
        f"{of}-{author}": {"of": of, "author": author}
        for of in study["recover"]["of"]
        for author in study["recover"]["authors"]
    }
    runs["recover"] = recover(study["recover"])
    runs["evaluate"] = {name: {"model": name} for name in models(study["base"], runs)}
    return runs


def sft(settings: dict) -> dict[str, dict]:
    """One run for each arm and seed."""
    return {f"{name}-{seed}": arm | {"arm": name, "seed": seed} for name, arm in settings["arms"].items()
            for seed in settings["seeds"]}  # fmt: skip


def rl(settings: dict, starts: dict[str, dict]) -> dict[str, dict]:
    """Each recipe from each SFT checkpoint of its arms."""
    return {
        f"{recipe}-{start}": {
            "recipe": recipe,
            "arm": run["arm"],
            "seed": run["seed"],
            "start": f"sft-{start}",
            "prompts": options["prompts"],
        }
        for recipe, options in settings["recipes"].items()
        for start, run in starts.items()
        if settings["arms"].get(recipe) == "all" or run["arm"] in settings["arms"].get(recipe, [])
    }


def prune(settings: dict) -> dict[str, dict]:
    """Each method at each ratio, of each model."""
    return {
        f"{of}-{method}-{ratio}": {"of": of, "method": method, "ratio": ratio}
        for of in settings["of"]
        for method in settings["methods"]
        for ratio in settings["ratios"]
    }


def recover(settings: dict) -> dict[str, dict]:
    """Each author and seed, of each pruned model to be recovered."""
    return {
        f"{pruned}-{author}-{seed}": run
        | {"author": author, "seed": seed, "pruned": f"prune-{pruned}", "responses": f"{run['of']}-{author}"}
        for pruned, run in prune(settings).items()
        for author in settings["authors"]
        for seed in settings["seeds"]
    }


def models(bases: dict, runs: dict[str, dict]) -> list[str]:
    """The names of all models of a study."""
    trained = [f"{stage}-{name}" for stage in ("sft", "rl", "prune", "recover") for name in runs[stage]]
    return [*(f"base-{name}" for name in bases), *trained]


def text(study: dict) -> str:
    """The content of runs.yaml."""
    return HEADER + yaml.safe_dump({"runs": expand(study)}, sort_keys=False, width=1000, default_flow_style=None)


def write(study: dict) -> None:
    """Brings runs.yaml up to date."""
    if not RUNS.is_file() or RUNS.read_text() != text(study):
        RUNS.write_text(text(study))
