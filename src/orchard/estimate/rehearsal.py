"""A rehearsal: the study's own stages in a folder of its own, each kind once, on random weights, for a few steps.

    python -m orchard.estimate.rehearsal

Its folder holds script.json (what is to be rehearsed) and params.yaml; it writes took.json. Each stage is a fork of
this process, so that its memory is its own. Models that another stage would make are stand-ins: the base model with the
record of the other.
"""

import copy
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from orchard import arithmetic, files, paths, yamls
from orchard.errors import UserError
from orchard.estimate import props
from orchard.estimate.watch import Watch
from orchard.estimate.work import STEP, Kind
from orchard.models import chosen_on
from orchard.study.schema.evaluate import EvaluateRun
from orchard.study.schema.prune import PruneRun, SearchRun
from orchard.study.schema.recover import RecoverRun, RespondRun
from orchard.study.schema.rl import RlRun
from orchard.study.schema.sft import SftRun

SCRIPT, TOOK = Path("script.json"), Path("took.json")
OPTIONS = {
    "sft": SftRun,
    "rl": RlRun,
    "search": SearchRun,
    "prune": PruneRun,
    "respond": RespondRun,
    "recover": RecoverRun,
    "evaluate": EvaluateRun,
}
PACKAGES = {"base", "sft", "rl", "search", "prune", "evaluate"}  # families whose stage is a package
NO_MODEL = {"generate", "ingest"}
ONE_LAYER = 1  # what is dropped in a rehearsal: a search of one round
LEAST_ITEMS = 8  # of a task: ours, as a few may be long or short
SCRIPTED_ROWS, TEACHER_ROWS = 300, 64  # of a policy that is no model, and of answers that a teacher reads: ours


class Part(NamedTuple):
    """A kind of stage to be rehearsed.

    Attributes:
        kind: which.
        run: the options of its example.
    """

    kind: Kind
    run: dict


class Base(NamedTuple):
    """A base model that is loaded.

    Attributes:
        name: in the study.
        settings: the content of its config.json; None where its own weights are read.
        tokenizer: a folder with its tokenizer; None: one of our own takes its place.
    """

    name: str
    settings: dict | None
    tokenizer: str | None


class Set(NamedTuple):
    """A set of items that is drawn at random, as its files are not here.

    Attributes:
        path: of the set.
        rows: how many.
        prompt: tokens of what is asked.
        answer: tokens of an answer.
    """

    path: str
    rows: int
    prompt: int
    answer: int


class Script(NamedTuple):
    """What is rehearsed.

    Attributes:
        on_gpu: whether on a GPU.
        parts: the stages.
        bases: the base models that are loaded.
        sets: of items that are drawn.
        lengths: of each author that is a model, the mean and the largest number of tokens of a response.
    """

    on_gpu: bool
    parts: list[Part]
    bases: list[Base]
    sets: list[Set]
    lengths: dict[str, tuple[float, int]]


class Took(NamedTuple):
    """What a kind of stage took.

    Attributes:
        kind: which.
        once: seconds of what is done once: reading, loading, saving.
        each: seconds of each of its parts, done once.
        peak: bytes of memory: of the process, or of the GPU.
        error: why it could not be measured; empty if it was.
    """

    kind: Kind
    once: float = 0.0
    each: dict[str, float] = {}  # noqa: RUF012  (never changed)
    peak: int = 0
    error: str = ""


def read_script() -> Script:
    """The script in the working folder."""
    found = json.loads(SCRIPT.read_text())
    parts = [Part(Kind(*kind), run) for kind, run in found["parts"]]
    bases, sets = [Base(*each) for each in found["bases"]], [Set(*each) for each in found["sets"]]
    return Script(found["on_gpu"], parts, bases, sets, found["lengths"])


class Rehearsal:
    """The stages of a script, one after the other.

    Args:
        script: what is rehearsed.
        tree: the content of params.yaml.
    """

    def __init__(self, script: Script, tree: dict):
        self.script, self.tree = script, tree

    def all(self) -> Iterator[Took]:
        """What each kind of stage took, as it is measured."""
        for each in self.script.sets:
            props.draw_items(Path(each.path), each.rows, each.prompt, each.answer)
        for base in self.script.bases:
            if base.settings:
                _in_fork(props.random_model, props.source(base.name), base.settings, base.tokenizer)
        failed: set[str] = set()  # bases that could not be made
        for part in self.script.parts:
            if part.kind.base in failed:
                yield Took(part.kind, error=f"behind base {part.kind.base}")
                continue
            try:
                edits, run, per_count = self.prepared(part)
            except Exception as error:  # what this stage reads could not be made: a stage before it failed
                yield Took(part.kind, error=in_one_line(error))
                continue
            paths.PARAMS.write_text(yamls.dumps(props.edited(self.tree, edits)), encoding="utf-8")
            took = measured(part.kind, run, self.script.on_gpu, per_count)
            failed |= {part.kind.base} if took.error and part.kind.family == "base" else set()
            yield took
            self.clean(part.kind)

    def prepared(self, part: Part) -> tuple[dict[str, Any], dict, dict[str, float] | float]:
        """Lays out what a stage reads.

        Returns:
            Edits of the study, by dotted key; the stage's options; and how much work its progress counts as one: of an
            evaluation the items of each task.
        """
        kind, run = part
        if kind.family in NO_MODEL:
            return {}, run, 1
        return getattr(self, f"_{kind.family}")(kind, run)

    def _base(self, kind: Kind, run: dict):
        own = next((base for base in self.script.bases if base.name == kind.base and base.settings), None)
        if own is None:
            return {}, run, 1
        settings = {"kind": "local", "source": str(props.source(own.name))}
        settings |= {"model": {"layers": own.settings["num_hidden_layers"]}}
        settings |= {} if own.tokenizer else {"format": {"template": None}}
        return {f"runs.base.{kind.example}.settings.{key}": value for key, value in settings.items()}, run, 1

    def _behave(self, kind: Kind, run: dict):
        policy = self.tree["behave"][kind.example]
        self.stand_in(policy["model"], kind)
        most = {"scripted": SCRIPTED_ROWS, "given": TEACHER_ROWS}.get(policy["kind"])
        prompts = props.few(policy["prompts"], most or policy["sampling"]["batch_size"])
        return {f"behave.{kind.example}.prompts": prompts}, run, 1

    def _respond(self, kind: Kind, run: dict):
        self.stand_in(run["of"], kind)
        author = self.tree["recover"]["responses"][run["author"]]
        if author["kind"] != "model":
            return {}, run, 1
        return {"recover.prompts": props.few(self.tree["recover"]["prompts"], author["batch_size"])}, run, 1

    def _sft(self, kind: Kind, run: dict):
        self.stand_in(run["base"], kind)
        policy = self.tree["behave"][run["data"]]
        props.lay_out_rows(run["data"], len(props.rows_of(policy["prompts"])), paths.model(policy["model"]))
        return {}, run, 1

    def _rl(self, kind: Kind, run: dict):
        self.stand_in(run["start"], kind)
        return {}, run, 1

    def _search(self, kind: Kind, run: dict):
        self.stand_in(run["of"], kind)
        selection = self.tree["prune"]["selection"]
        all_rows = {name: props.rows_of(task["items"])[: task["limit"]] for name, task in selection["tasks"].items()}
        share = min(1.0, selection["batch_size"] / max(map(len, all_rows.values())))
        edits, items = {}, 0
        for name, rows in all_rows.items():
            count = max(2, round(share * len(rows)))
            edits[f"prune.selection.tasks.{name}.items"] = props.few(selection["tasks"][name]["items"], count)
            items += min(count, len(rows))
        return edits, run | {"ratios": [ONE_LAYER]}, share / items

    def _prune(self, kind: Kind, run: dict):
        self.stand_in(run["of"], kind)
        if run["method"] == "greedy":
            props.write_search(run["of"])
            return {}, run | {"ratio": ONE_LAYER}, 1
        calibration = self.tree["prune"]["calibration"]
        texts = props.few(calibration["items"], 2 * calibration["batch_size"])
        options = run | {"ratio": ONE_LAYER, "chosen_on": texts}
        per_count = len(props.rows_of(texts)) if kind.label == "perplexity" else 1
        return {"prune.calibration.items": texts}, options, per_count

    def _recover(self, kind: Kind, run: dict):
        self.stand_in(run["pruned"], kind)
        chosen_on.write(paths.model(run["pruned"]), [])
        author = self.tree["recover"]["responses"][run["author"]]
        written = paths.responses(run["responses"])
        if author["kind"] in ("model", "mixed"):
            mean, most = self.script.lengths.get(run["author"], (props.ANSWER, props.ANSWER))
            props.draw_responses(written, self.tree["recover"]["prompts"], paths.model(run["pruned"]), mean, most)
        return {}, run, 1

    def _evaluate(self, kind: Kind, run: dict):
        self.stand_in(run["model"], kind)
        asked = self.tree["evaluate"]
        tasks, items = {}, {}
        for title, task in asked["tasks"].items():
            if task["kind"] == "lm-eval":
                continue
            most = max(LEAST_ITEMS, -(-asked["batch_size"] // task.get("samples", 1)))
            rows = props.rows_of(task["items"])[: asked["limit"]]
            tasks[title] = task | {"items": props.few(task["items"], min(most, len(rows)))}
            items[title] = min(most, len(rows))
        return {"evaluate.tasks": tasks}, {"model": run["model"], "weights": ""}, items

    def stand_in(self, model: str, kind: Kind) -> None:
        """Lays out a model that another stage would make."""
        bases = [part.kind for part in self.script.parts if part.kind.family == "base"]
        example = next(each.example for each in bases if each.base == kind.base)
        props.stand_in(paths.model(model), paths.model(f"base-{example}"))

    def clean(self, kind: Kind) -> None:
        """Removes a model that nothing reads: disks are small, and models large."""
        made = paths.model(f"{kind.family}-{kind.example}")
        if kind.family in ("sft", "rl", "prune", "recover") and made.is_dir():
            files.remove(made)
        files.remove(paths.RESUME)


def measured(kind: Kind, run: dict, on_gpu: bool, per_count: dict[str, float] | float) -> Took:
    """Runs a stage in a fork of this process; what it took.

    Args:
        kind: of the stage.
        run: its options.
        on_gpu: whether it computes on a GPU.
        per_count: how much work the stage's progress counts as one: of an evaluation the items of each task.
    """
    said, status, peak = _in_fork(_run, kind, run, on_gpu)
    if status or not said:
        return Took(kind, error=said or f"the process ended by signal {status & 127}")
    found = json.loads(said)
    if kind.family == "evaluate":
        each = {title: took / items for (title, items), took in zip(per_count.items(), found["tasks"], strict=True)}
        once = found["seconds"] - sum(found["tasks"])
    else:
        each = {STEP: found["step"] / per_count} if found["step"] else {}
        once = found["seconds"] - found["step"] * found["done"]
    return Took(kind, max(0.0, once), each, found["gpu_peak"] if on_gpu else peak)


def _run(kind: Kind, run: dict, on_gpu: bool) -> str:
    """Runs a stage in this process, watched; what it took, as JSON."""
    if kind.family not in NO_MODEL:
        arithmetic.hold()
    main = module_of(kind.family).main
    watch = Watch(kind.family, on_gpu)
    options = OPTIONS.get(kind.family)
    main(kind.example, *([options.model_validate(run)] if options else []))
    found = {"seconds": watch.seconds(), "step": watch.of_a_step()}
    found |= {"tasks": watch.of_tasks()} if kind.family == "evaluate" else {}
    found |= {"done": watch.marks[-1].done if watch.marks else 0, "gpu_peak": 0}
    if on_gpu:
        import torch

        found["gpu_peak"] = torch.cuda.max_memory_reserved()
    return json.dumps(found)


def module_of(family: str):
    """The module of a family of stages."""
    return importlib.import_module(f"orchard.stages.{family}{'.__main__' if family in PACKAGES else ''}")


def in_one_line(error: BaseException) -> str:
    """An error as a note: its first line, without the words of a message."""
    first = next(iter(str(error).splitlines()), "").removeprefix("found: ")
    return first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"


def _in_fork(function, *arguments) -> tuple[str, int, int]:
    """Calls a function in a fork of this process; what it returns (text) or why it failed, status, peak bytes."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        _become(function, arguments, writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    _, status, used = os.wait4(child, 0)
    return said, status, used.ru_maxrss * 1024


def _become(function, arguments: tuple, writing: int) -> NoReturn:
    """The work of a fork, which ends with it."""
    status = 1
    with open(writing, "w", encoding="utf-8") as pipe, paths.LOGS.joinpath("stages.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            pipe.write(function(*arguments) or "")
            status = 0
        except BaseException as error:
            traceback.print_exc()
            pipe.write(in_one_line(error))
        sys.stdout.flush()
        pipe.flush()
    os._exit(status)


def said(took: Took) -> str:
    """What a kind of stage took, in a line: how far the rehearsal is."""
    parts = "".join(f", {seconds:.3g} s each {part}" for part, seconds in took.each.items())
    return f"  {took.kind.family} {took.kind.label}: {took.error or f'{took.once:.1f} s once{parts}'}"


def main() -> None:
    paths.LOGS.mkdir(exist_ok=True)
    script, tree = read_script(), yamls.read(paths.PARAMS)
    for part in script.parts:  # libraries are loaded before stages are watched, as a run loads them once for all
        module_of(part.kind.family)
    took = []
    for each in Rehearsal(script, copy.deepcopy(tree)).all():
        print(said(each), file=sys.stderr, flush=True)
        took.append(each)
    TOOK.write_text(json.dumps(took))


if __name__ == "__main__":
    main()
