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
    runs["search"] = search(study["prune"])
    runs["prune"] = prune(study["prune"]) | skip(study["prune"], layers(study["base"], runs))
    runs["respond"], runs["mix"] = responses(study["recover"])
    runs["recover"] = recover(study["recover"])
    runs["evaluate"] = {name: {"model": name} for name in models(study["base"], runs)}
    runs["artifact"] = {role: {"model": name} for role, name in study["artifacts"].items() if name}
    return runs


def sft(settings: dict) -> dict[str, dict]:
    """One run for each arm and seed."""
    return {f"{name}-{seed}": arm | {"arm": name, "seed": seed} for name, arm in settings["arms"].items()
            for seed in settings["own_seeds"].get(name, settings["seeds"])}  # fmt: skip


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


def search(settings: dict) -> dict[str, dict]:
    """One greedy search of each model, up to the highest ratio: lower ones drop the layers that it dropped first."""
    if "greedy" not in settings["methods"]:
        return {}
    return {of: {"of": of, "ratios": " ".join(map(str, settings["ratios"]))} for of in settings["of"]}


def prune(settings: dict) -> dict[str, dict]:
    """Each method at each ratio, of each model, with what the choice of layers rests on."""
    calibration = (settings.get("calibration") or {}).get("items")
    return {
        f"{of}-{method}-{ratio}": {
            "of": of,
            "method": method,
            "ratio": ratio,
            "chosen_on": f"results/searches/{of}" if method == "greedy" else calibration,
        }
        for of in settings["of"]
        for method in settings["methods"]
        for ratio in settings["ratios"]
    }


def skip(settings: dict, depths: dict[str, int]) -> dict[str, dict]:
    """Each layer alone, of each model of the sweep; its number stands where others have a ratio."""
    return {
        f"{of}-skip-{layer}": {
            "of": of,
            "method": "skip",
            "ratio": layer,
            "chosen_on": settings["calibration"]["items"],
        }
        for of in settings["skip"]
        for layer in range(depths.get(of, 0))
    }


def layers(bases: dict, runs: dict[str, dict]) -> dict[str, int]:
    """The models that can be pruned or imitated, and the number of layers of each."""
    depths = {f"base-{name}": base["model"]["layers"] for name, base in bases.items()}
    for stage, origin in (("sft", "base"), ("rl", "start")):
        depths |= {f"{stage}-{key}": depths[run[origin]] for key, run in runs[stage].items() if run[origin] in depths}
    return depths


def responses(settings: dict) -> tuple[dict[str, dict], dict[str, dict]]:
    """What is written for recovery: each author's responses to the prompts, and mixtures of two authors'."""
    used = dict.fromkeys(author for authors in settings["authors"].values() for author in authors)
    mixtures = [author for author in used if settings.get(author, {}).get("kind") == "mixed"]
    written = dict.fromkeys([a for a in used if a not in mixtures] + [a for m in mixtures for a in settings[m]["of"]])
    respond = {f"{of}-{author}": {"of": of, "author": author} for of in settings["of"] for author in written}
    mix = {
        f"{of}-{author}": {"of": of, "author": author}
        | {place: f"{of}-{part}" for place, part in zip(("first", "second"), settings[author]["of"], strict=True)}
        for of in settings["of"]
        for author in mixtures
    }
    return respond, mix


def recover(settings: dict) -> dict[str, dict]:
    """Each author within each budget with each seed, of each pruned model to be recovered."""
    return {
        f"{pruned}-{author}-{budget}-{seed}": {key: run[key] for key in ("of", "method", "ratio")}
        | {"author": author, "budget": budget, "seed": seed}
        | {"pruned": f"prune-{pruned}", "responses": f"{run['of']}-{author}"}
        for pruned, run in prune(settings).items()
        for budget, authors in settings["authors"].items()
        for author in authors
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
