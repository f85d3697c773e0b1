"""The model card of a model's folder: what it is, how it was made, under which licence, how it scores.

It is the folder's README.md, with the metadata that the Hugging Face hub reads. What it says stands in record.json.
"""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from orchard.models import adapters, checkpoint, record

if TYPE_CHECKING:
    import pandas

FILE = "README.md"
ARITHMETIC = {
    "portable": "Arithmetic: portable, so any x86-64 CPU with AVX2 makes these very weights.",
    "fast": "Arithmetic: fast, so another kind of machine makes weights that differ by rounding.",
}


def finish(
    folder: Path,
    name: str,
    stage: str,
    settings: BaseModel | dict,
    inputs: list[Path],
    *,
    step: str,
    start: Path | None = None,
    licence: str | None = None,
    **facts,
) -> None:
    """Writes the record and the card of a model whose weights are saved.

    Args:
        folder: the model's.
        name: the model's in the study.
        stage: the family of the stage that made it.
        settings: the part of the study that the stage read.
        inputs: the files and folders that it read.
        step: what the stage did, as half a sentence.
        start: the folder of the model that it started from, whose history goes on and whose licence stays.
        licence: that of a base model, as an SPDX name in small letters.
        facts: what else the record says.
    """
    before = record.read(start) if start else {"history": [], "license": licence}
    origin = {"history": [*before["history"], step], "license": before["license"]}
    whole = start if start and (folder / adapters.CONFIG).is_file() else folder
    dtype = str(checkpoint.dtype_of(whole)).removeprefix("torch.")
    record.write(folder, stage, settings, inputs, dtype=dtype, **facts, **origin)
    write(folder, name)


def write(folder: Path, name: str, scores: pandas.DataFrame | None = None) -> None:
    """Writes the card of a model that is saved with its record.

    Args:
        folder: the model's.
        name: the model's in the study.
        scores: a row per item, task and metric, with a value; None before the model is evaluated.
    """
    own, config = record.read(folder), json.loads((folder / "config.json").read_text())
    # A path may look like HTML, which the hub would show as such.
    steps = "\n".join(
        f"{number}. {html.escape(step, quote=False)}" for number, step in enumerate(own["history"], start=1)
    )
    start = adapters.start_of(folder) if (folder / adapters.CONFIG).is_file() else None
    count = parameters(start or folder)
    size = f"{config['num_hidden_layers']} layers of width {config['hidden_size']}, {count:,} parameters"
    (folder / FILE).write_text(f"""---
license: {own["license"]}
library_name: transformers
pipeline_tag: text-generation
tags: [orchard, {own["stage"]}]
---
# {name}

## What it is
A causal language model of type {config["model_type"]}: {size}, a vocabulary of {config["vocab_size"]}. It is a
checkpoint of a study of orchard, which reproduces two papers (PEAR, arXiv 2602.01058; On the Limits of Layer Pruning,
arXiv 2602.01997): made to be measured, not to be used.

## How it was made
{steps}

{ARITHMETIC[own["arithmetic"]]} Settings, seeds, hashes of the inputs and versions of the libraries stand in
`record.json`. The licence is that of the base model.

## Use
{usage(start)}

## Scores
{score_table(name, scores)}
""")


def score_table(name: str, scores: pandas.DataFrame | None) -> str:
    """The section on scores: a table of means with standard errors over items, or where the scores will stand."""
    if scores is None:
        return f"`results/evals/{name}` of the same study holds them."
    found = scores.groupby(["task", "metric"])["value"].agg(["mean", "sem", "size"])
    rows = [f"| {' | '.join(key)} | {mean:.3f} | {sem:.3f} | {items} |" for key, mean, sem, items in found.itertuples()]
    head = ["| task | metric | mean | standard error | items |", "|---|---|---|---|---|"]
    return "\n".join(
        ["Means over items. The standard error is over items, and holds nothing of other seeds.\n", *head, *rows]
    )


def usage(start: Path | None) -> str:
    """How a model is loaded elsewhere: of an adapter, on the model that it changes."""
    if not start:
        return """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "path/to/this/folder"
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
```"""
    return f"""This folder holds what LoRA changed, an adapter of `{start}` of the same study:
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, whole = "path/to/this/folder", AutoModelForCausalLM.from_pretrained("path/to/{start.name}")
model, tokenizer = PeftModel.from_pretrained(whole, folder).merge_and_unload(), AutoTokenizer.from_pretrained(folder)
```"""


def parameters(folder: Path) -> int:
    """The number of parameters that a folder's weights hold."""
    return sum(math.prod(header.shape) for header in checkpoint.read_headers(folder).values())
