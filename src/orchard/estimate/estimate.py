"""What a study would cost on a machine, before anything of it runs: hours, memory and disk by family of stages.

A rehearsal runs each kind of the study's stages for a few steps (`rehearsal`). What a step took is multiplied by how
many the study has (`work`). Models that do not fit here are rehearsed at two smaller depths; what they take grows with
each layer alike.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from orchard import imports, paths, processes, yamls
from orchard.errors import UserError, did_you_mean
from orchard.estimate import amounts, architectures, formulas, work
from orchard.estimate.formulas import FLOAT, HALF, Shape
from orchard.estimate.rehearsal import SCRIPT, TOOK, Base, Part, Script, Set, Took
from orchard.estimate.work import Amounts, Kind, Work
from orchard.lineage import costs
from orchard.study import files, load, overlay, params
from orchard.study import runs as study_runs
from orchard.study.messages import ConfigError
from orchard.study.schema.base import Loaded
from orchard.study.schema.common import TYPES_ALONE
from orchard.study.schema.data import Ingest
from orchard.study.schema.study import Study

JOB = 2.0  # seconds around a stage's own work: DVC, and orchard's imports; what an artifact takes in measured/costs.csv
FITS = 0.8  # of the memory that is free; the rest is for libraries, and for what a formula leaves out
LEAST_DEPTH = 4  # layers of a model that is rehearsed at less than its depth: ours, a search needs three
MEASURED, SHIPPED, UNKNOWN = "measured", "as in measured/costs.csv", "not measured"


class Machine(NamedTuple):
    """What a study would run on.

    Attributes:
        device: cpu or cuda.
        name: of the device.
        memory: bytes that are free.
        cores: of the CPU.
    """

    device: str
    name: str
    memory: int
    cores: int


class StageCost(NamedTuple):
    """What a stage would cost.

    Attributes:
        stage: its name in DVC.
        kind: of which it is.
        seconds: of a CPU core, or of the GPU; None where it is not known.
        peak: bytes of memory; 0 where it is not known.
        disk: bytes of its output.
        how: the seconds are known.
    """

    stage: str
    kind: Kind
    seconds: float | None
    peak: int
    disk: int
    how: str


class FamilyCost(NamedTuple):
    """The same of a family of stages: seconds and disk are sums, the peak is that of the largest stage."""

    family: str
    stages: int
    unknown: int
    seconds: float
    peak: int
    disk: int
    how: str


@dataclass(frozen=True)
class Estimate:
    """What a study would cost.

    Attributes:
        study: its name.
        machine: where it was measured.
        speed: how many times as fast the machine is that the study will run on.
        stages: each with its cost.
        notes: how it was measured, and what was assumed.
        failed: what could not be measured, and why.
    """

    study: str
    machine: Machine
    speed: float
    stages: list[StageCost]
    notes: list[str]
    failed: list[str]

    def families(self) -> list[FamilyCost]:
        """By family, in the order of the graph."""
        found: dict[str, list[StageCost]] = {}
        for stage in self.stages:
            found.setdefault(stage.kind.family, []).append(stage)
        return [_family(name, own) for name, own in found.items()]

    def total(self) -> FamilyCost:
        """Of the whole study."""
        return _family("in all", self.stages)


def _family(name: str, stages: list[StageCost]) -> FamilyCost:
    known = [stage.seconds for stage in stages if stage.seconds is not None]
    return FamilyCost(
        name,
        len(stages),
        len(stages) - len(known),
        sum(known),
        max((stage.peak for stage in stages), default=0),
        sum(stage.disk for stage in stages),
        ", ".join(dict.fromkeys(stage.how for stage in stages)),
    )


def estimate(
    path: Path, device: str | None = None, speed: float = 1.0, given: dict[str, Path] | None = None
) -> Estimate:
    """What a study would cost on this machine.

    Args:
        path: its config.
        device: cpu or cuda; None: a GPU if the study's arithmetic allows one and there is one.
        speed: how many times as fast the machine is that the study will run on.
        given: the config.json of base models that are not here, by the name of the base.

    Raises:
        UserError: the study breaks a rule, a model's sizes are not known, or nothing of it fits into the memory.
    """
    study, tree = study_of(path)
    runs = study_runs.expand(study)
    machine = machine_for(study, device)
    refuse_other_names(study, given or {})
    settings = {name: architectures.settings_of(name, study, given or {}) for name in loaded(study)}
    shapes = shapes_of(study, {name: found for name, (found, _) in settings.items()})
    known = Amounts(study, runs, shapes)
    works = work.of_study(known)
    depths = depths_to_rehearse(study, shapes, machine)
    took = [rehearse(study, tree, known, works, depth, settings, given or {}, machine) for depth in depths]
    stages = [cost(study, each, took, depths, shapes, speed) for each in works]
    origins = [f"base {name}: {origin}" for name, (_, origin) in settings.items()]
    failed = {kind: each.error for one in took for kind, each in one.items() if each.error}
    told = [f"{kind.family} {kind.label}: {error}" for kind, error in failed.items()]
    return Estimate(study.name, machine, speed, stages, [*origins, *notes(known, depths)], told)


def study_of(path: Path) -> tuple[Study, dict]:
    """A study and its tree; benchmark files that are not here yet are no mistake of it.

    Raises:
        UserError: it breaks another rule.
    """
    resolved = overlay.resolve(path)
    try:
        study = load.validate(resolved, path)
    except ConfigError as error:
        if others := [each for each in error.mistakes if not isinstance(each, files.MissingFileError)]:
            raise ConfigError(path, others) from None
        study = Study.model_validate(resolved.tree, context=TYPES_ALONE)
    return study, params.tree(study)


def machine_for(study: Study, device: str | None) -> Machine:
    """The device that is asked for, or the one that the study would take.

    Raises:
        UserError: there is no such device, or the study's arithmetic forbids it.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    wanted = device or ("cuda" if has_gpu and study.arithmetic == "fast" else "cpu")
    if wanted == "cuda" and (study.arithmetic == "portable" or not has_gpu):
        found = "the study's arithmetic is portable" if has_gpu else "no GPU is here"
        raise UserError(
            found=f"--device cuda, and {found}",
            rule="an estimate is measured on a device that is here and that the study may use",
            why="another device's times do not follow from those of this one",
            fix="leave --device out; `--speed 8` scales the hours by a factor that you know",
        )
    cores = os.cpu_count() or 1
    if wanted == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return Machine("cuda", torch.cuda.get_device_name(), free, cores)
    return Machine("cpu", f"one core of {cores}", free_memory(), cores)


def free_memory() -> int:
    """Bytes of memory that a process can still take, as Linux says it."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def refuse_other_names(study: Study, given: dict[str, Path]) -> None:
    """Raises a UserError for a config of a model that is no loaded base of the study."""
    for name in given:
        if name not in (known := loaded(study)):
            raise UserError(
                found=f"--config {name}={given[name]}",
                rule="it names a base model of the study that is loaded",
                why="sizes of models that the study pretrains stand in the study",
                fix=did_you_mean(name, known),
            )


def loaded(study: Study) -> list[str]:
    """The base models that are not pretrained here."""
    return [name for name, base in study.base.items() if isinstance(base, Loaded)]


def shapes_of(study: Study, settings: dict[str, dict]) -> dict[str, Shape]:
    """The sizes of all base models."""
    from orchard.stages.base.pretrain import architecture, make_tokenizer

    tokenizer = make_tokenizer()
    pretrained = {
        name: architecture(base.model, tokenizer).to_dict()
        for name, base in study.base.items()
        if not isinstance(base, Loaded)
    }
    return {name: architectures.shape_of(found) for name, found in (pretrained | settings).items()}


# Depths


def depths_to_rehearse(study: Study, shapes: dict[str, Shape], machine: Machine) -> list[dict[str, int]]:
    """The depths at which base models are rehearsed: the whole, or where it does not fit two smaller ones.

    Raises:
        UserError: not even few layers fit.
    """
    whole = {name: shape.layers for name, shape in shapes.items()}
    room = FITS * machine.memory
    too_large = [name for name in loaded(study) if needs(study, shapes[name]) > room]
    for name in too_large:
        if (least := needs(study, shapes[name].deep(2 * LEAST_DEPTH))) > room:
            raise UserError(
                found=f"{machine.memory / 1e9:.1f} GB of free memory, where base.{name} takes {least / 1e9:.1f} GB "
                f"with {2 * LEAST_DEPTH} layers alone",
                rule="a few layers of a model fit into the memory",
                why="what they take is measured, and that of all layers follows",
                fix="run it on a machine with more memory; docs/cluster.md has what formulas say",
            )
    if not too_large:
        return [whole]
    return [whole | dict.fromkeys(too_large, depth) for depth in (LEAST_DEPTH, 2 * LEAST_DEPTH)]


def needs(study: Study, shape: Shape) -> int:
    """Roughly the most bytes that a stage takes of a base: its training, or its weights alone."""
    trained = [study.sft.trainer, *study.rl.recipes.values(), study.recover.trainer]
    is_whole = any(each is not None and each.lora is None for each in trained)
    return formulas.adamw(shape.parameters) if is_whole else 2 * formulas.weights(shape)


# The rehearsal


def rehearse(
    study: Study,
    tree: dict,
    known: Amounts,
    works: list[Work],
    depth: dict[str, int],
    settings: dict[str, tuple[dict, str]],
    given: dict[str, Path],
    machine: Machine,
) -> dict[Kind, Took]:
    """What each kind of stage took, with base models of some depths."""
    paths.SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="estimate-", dir=paths.SCRATCH) as scratch:
        folder = Path(scratch)
        (folder / paths.PARAMS).write_text(yamls.dumps(tree), encoding="utf-8")
        script = script_of(study, tree, known, works, depth, settings, given, machine)
        (folder / SCRIPT).write_text(json.dumps(script._asdict()))
        link_sources(study, folder, script)
        command = [sys.executable, "-m", "orchard.estimate.rehearsal"]
        environment = os.environ | surroundings(machine)
        print(f"measuring on {machine.name}: each kind of stage, some steps", file=sys.stderr, flush=True)
        status = subprocess.run(command, cwd=folder, env=environment).returncode
        if status:
            raise RuntimeError(f"the rehearsal ended with status {status}")
        found = json.loads((folder / TOOK).read_text())
    return {kind: Took(kind, *rest) for first, *rest in found for kind in [Kind(*first)]}


def surroundings(machine: Machine) -> dict[str, str]:
    """The environment of a rehearsal: this clone's code, and the device."""
    found = processes.surroundings() | {"PYTHONPATH": str(imports.PACKAGE.parent), "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    return found | ({processes.COUNT: "1"} if machine.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""})


def script_of(
    study: Study,
    tree: dict,
    known: Amounts,
    works: list[Work],
    depth: dict[str, int],
    settings: dict[str, tuple[dict, str]],
    given: dict[str, Path],
    machine: Machine,
) -> Script:
    """What is rehearsed."""
    parts = [Part(kind, tree["runs"].get(kind.family, {}).get(kind.example, {})) for kind in rehearsed(study, works)]
    bases = [_base(name, study, found, depth[name], given) for name, (found, _) in settings.items()]
    sets = []
    for each in amounts.sets(study).values():
        if not each.is_real and isinstance(each.made, Ingest):
            sets.append(Set(each.path, min(each.count, 2000), *amounts.TYPICAL[each.made.format]))
    lengths = {
        name: (found.mean, found.most)
        for name, author in study.recover.responses.items()
        if author.kind == "model"
        for found in [work.of_author(known, name)]
    }
    return Script(machine.device == "cuda", parts, bases, sets, lengths)


def rehearsed(study: Study, works: list[Work]) -> list[Kind]:
    """The kinds of stages that are rehearsed, in an order in which each finds what it reads."""
    missing = {path for path, each in amounts.sets(study).items() if not each.is_real}
    unread = {Path(path).stem for path in missing}
    order = ["generate", "ingest", "base", "behave", "respond", "sft", "rl", "search", "prune", "recover", "evaluate"]
    kinds = dict.fromkeys(each.kind for each in works if each.kind.family in order)
    kept = [kind for kind in kinds if kind.family != "ingest" or kind.example not in unread]
    return sorted(kept, key=lambda kind: order.index(kind.family))


def _base(name: str, study: Study, found: dict, layers: int, given: dict[str, Path]) -> Base:
    """A base with its own weights where these are here, and of random ones otherwise."""
    is_here = Path(study.base[name].source).exists() and name not in given
    if is_here and layers == found["num_hidden_layers"]:
        return Base(name, None, None)
    folders = [given[name]] if name in given else [Path(study.base[name].source), paths.model(f"base-{name}")]
    tokenizer = next((str(each.absolute()) for each in folders if (each / "tokenizer.json").is_file()), None)
    return Base(name, architectures.shallower(found, layers), tokenizer)


def link_sources(study: Study, folder: Path, script: Script) -> None:
    """Lets a rehearsal read what the study reads from outside: benchmark files and models that are here."""
    own = [each.name for each in script.bases if each.settings is None]
    read = [Path(each.path) for each in study.data.ingest.values()] + [Path(study.base[name].source) for name in own]
    for source in read:
        target = folder / source
        if source.exists() and not source.is_absolute() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.absolute())


# From what was measured to what it costs


def cost(
    study: Study,
    stage: Work,
    took: list[dict[Kind, Took]],
    depths: list[dict[str, int]],
    shapes: dict[str, Shape],
    speed: float,
) -> StageCost:
    """What a stage would cost."""
    disk = output_bytes(study, stage, shapes)
    found = [each[stage.kind] for each in took if stage.kind in each]
    if not found or any(each.error for each in found):
        shipped = costs.shipped().get(stage.kind.family) if not found else None
        seconds, how = (shipped, SHIPPED) if shipped else (None, UNKNOWN)
        return StageCost(stage.stage, stage.kind, seconds, 0, disk, how)
    measured = found[0]
    if len(found) > 1 and stage.kind.base:
        at = [depth[stage.kind.base] for depth in depths]
        measured = deeper(found, at, shapes[stage.kind.base].layers)
    parts = sum(measured.each.get(part, 0.0) * times for part, times in stage.times.items())
    seconds = JOB + (measured.once + parts) / speed
    return StageCost(stage.stage, stage.kind, seconds, measured.peak, disk, MEASURED)


def deeper(found: list[Took], depths: list[int], layers: int) -> Took:
    """What a kind of stage takes at a depth, from what it took at two others: alike with each layer."""
    (small, large), (first, second) = depths, found
    if small == large:
        return first
    share = (layers - small) / (large - small)

    def line(one: float, other: float) -> float:
        return max(0.0, one + share * (other - one))

    each = {part: line(first.each[part], second.each[part]) for part in first.each}
    return Took(first.kind, line(first.once, second.once), each, round(line(first.peak, second.peak)))


def output_bytes(study: Study, stage: Work, shapes: dict[str, Shape]) -> int:
    """Bytes of the model that a stage writes; of other outputs nothing is counted, as they are small beside models."""
    family, base = stage.kind.family, stage.kind.base
    if family not in ("base", "sft", "rl", "prune", "recover", "artifact"):
        return 0
    shape = shapes[base].deep(stage.layers)
    own = study.base[base]
    size = HALF if isinstance(own, Loaded) and own.dtype == "bfloat16" else FLOAT
    trainer = {"sft": study.sft.trainer, "recover": study.recover.trainer}.get(family)
    if family == "rl":
        trainer = study.rl.recipes[stage.kind.label]
    if trainer and trainer.lora and stage.times.get(work.STEP):
        return formulas.adapter(shape, trainer.lora.rank)
    return formulas.weights(shape, size)


def notes(known: Amounts, depths: list[dict[str, int]]) -> list[str]:
    """How it was measured, and what was assumed."""
    found = []
    if len(depths) > 1:
        changed = {name: [depth[name] for depth in depths] for name in depths[0] if depths[0][name] != depths[1][name]}
        found += [f"base {name}: measured at {small} and {large} layers" for name, (small, large) in changed.items()]
    for name in loaded(known.study):
        if known.study.base[name].kind == "gguf" and not Path(known.study.base[name].source).exists():
            found.append(f"base {name}: read as a folder of safetensors; a GGUF file takes longer")
    missing = [path for path, each in amounts.sets(known.study).items() if not each.is_real]
    if missing:
        found.append(f"not here, so drawn at usual lengths: {', '.join(missing)}")
    found += [f"{what}: {said}" for what, said in known.notes.items()]
    found += [f"{title}: a task of lm-eval, not measured" for title in lm_eval_tasks(known.study)]
    if known.runs["search"]:
        found.append("search: as if no layer were eliminated before all items are scored")
    return found


def lm_eval_tasks(study: Study) -> Iterator[str]:
    return (title for title, task in study.evaluate.tasks.items() if task.kind == "lm-eval")
