"""What a model writes to prompts: all of it for the stage that asked, or one shard, as a stage of its own.

    python -m orchard.stages.sample NAME

A shard is some of the batches that the whole list of prompts falls into, and each prompt's random numbers follow from
its place in the list. So any number of shards gives the same rows, bit for bit. A killed run goes on behind the last
batch that it finished.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import pyarrow
from pyarrow import parquet

from orchard import paths
from orchard.engines.engine import Response
from orchard.engines.opening import opened
from orchard.models import loading, prompts, record
from orchard.models.seeds import seed_of
from orchard.processes import Progress
from orchard.stages import kept, stage
from orchard.study.schema.common import SampleRun, Sampling
from orchard.tasks import registry

NUMBERS, LOGPS = pyarrow.list_(pyarrow.int64()), pyarrow.list_(pyarrow.float64())
COLUMNS = pyarrow.schema(
    {
        "text": pyarrow.string(),
        "ids": NUMBERS,
        "logps": LOGPS,
        "top_ids": pyarrow.list_(NUMBERS),
        "top_logps": pyarrow.list_(LOGPS),
        "cut": pyarrow.bool_(),
    }
)
ENGINE = "engine"  # of the metadata of a shard's file: what ran the model, where no library of the lock did


class Sampled(NamedTuple):
    """What was sampled.

    Attributes:
        responses: in the order of the prompts.
        engine: the version of what ran the model; None: a library that every record names.
    """

    responses: list[Response]
    engine: str | None


def main(name: str) -> None:
    run = stage.params(SampleRun, "runs", "sample", name)
    target = file_of(run, run.shard)
    with stage.output(target) as scratch:
        found, engine = sampled(run, f"sample@{name}", target)
        table = pyarrow.Table.from_pylist([each._asdict() for each in found], COLUMNS)
        parquet.write_table(table.replace_schema_metadata({ENGINE: engine} if engine else None), scratch)


def responses(run: SampleRun, shards: int, stage_name: str, target: Path) -> Sampled:
    """All responses: joined from the stages that sampled a shard each, or sampled here.

    Args:
        run: what is sampled, as the only shard.
        shards: how many stages sampled it; 1: none did.
        stage_name: of the stage that asks.
        target: its output, in whose resume state lies what was sampled.
    """
    if shards == 1:
        return sampled(run, stage_name, target)
    tables = [parquet.read_table(file_of(run, number)) for number in range(1, shards + 1)]
    engines = {(table.schema.metadata or {}).get(ENGINE.encode(), b"").decode() for table in tables}
    rows = [Response(**row) for table in tables for row in table.cast(COLUMNS).to_pylist()]
    return Sampled(rows, ", ".join(sorted(engines)) or None)


def file_of(run: SampleRun, number: int) -> Path:
    """The file of a shard."""
    return paths.samples(run.family, run.of) / f"{number}.parquet"


def sampled(run: SampleRun, stage_name: str, target: Path) -> Sampled:
    """What a model writes to its shard of the prompts, batch by batch."""
    folder, questions, found = paths.model(run.model), [prompts.asked(item) for item in items_of(run.prompts)], []
    asked, batches = own_stream(run, folder), batches_of(run, len(questions))
    progress = Progress(stage_name, sum(map(len, batches)))
    begun = (target, __spec__.name, [folder, *run.beside, Path(run.prompts)], run, loading.settings())
    with kept.resumable(*begun) as state, opened(asked.engine, folder, stage_name) as engine:
        remember = kept.memory(state)
        for batch in batches:
            options = {"top_k": run.top_k, "first": batch.start}
            own = questions[batch.start : batch.stop]
            work_out = functools.partial(engine.sample, own, asked, **options)
            done = remember([batch.start], lambda do=work_out: list(do()))
            found += [Response(*each) for each in done]
            progress.step(len(found))
        return Sampled(found, engine.version)


def items_of(path: str) -> list[dict]:
    """The prompts of one file, or of all files of a folder."""
    files = sorted(Path(path).glob("*.jsonl")) if Path(path).is_dir() else [Path(path)]
    return [item for file in files for item in registry.read(file)]


def batches_of(run: SampleRun, count: int) -> list[range]:
    """The places of the prompts in each batch of a shard: whole ones, as rows round otherwise in other batches."""
    size = run.sampling.batch_size
    every = [range(start, min(start + size, count)) for start in range(0, count, size)]
    return every[(run.shard - 1) * len(every) // run.shards : run.shard * len(every) // run.shards]


def own_stream(run: SampleRun, folder: Path) -> Sampling:
    """How a run samples: an author's replicates, which answer the same prompts, have a stream of numbers each."""
    if run.family == "behave":
        return run.sampling
    seed = seed_of("responses", run.sampling.seed, record.read(folder)["seed"])
    return run.sampling.model_copy(update={"seed": seed})


if __name__ == "__main__":
    stage.run(main)
