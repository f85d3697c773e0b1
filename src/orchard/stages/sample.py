"""What a model writes to prompts: all of it for the stage that asked, or one shard, as a stage of its own.

    python -m orchard.stages.sample NAME

A shard is some of the batches that the whole list of prompts falls into, and each prompt's random numbers follow from
its place in the list. So any number of shards gives the same rows, bit for bit. A killed run goes on behind the last
batch that it finished.
"""

import functools
from pathlib import Path

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


def main(name: str) -> None:
    run = stage.params(SampleRun, "runs", "sample", name)
    target = file_of(run, run.shard)
    with stage.output(target) as scratch:
        rows = [each._asdict() for each in sampled(run, f"sample@{name}", target)]
        parquet.write_table(pyarrow.Table.from_pylist(rows, COLUMNS), scratch)


def responses(run: SampleRun, shards: int, stage_name: str, target: Path) -> list[Response]:
    """All responses: joined from the stages that sampled a shard each, or sampled here.

    Args:
        run: what is sampled, as the only shard.
        shards: how many stages sampled it; 1: none did.
        stage_name: of the stage that asks.
        target: its output, in whose resume state lies what was sampled.
    """
    if shards == 1:
        return sampled(run, stage_name, target)
    files = [file_of(run, number) for number in range(1, shards + 1)]
    return [Response(**row) for file in files for row in parquet.read_table(file, schema=COLUMNS).to_pylist()]


def file_of(run: SampleRun, number: int) -> Path:
    """The file of a shard."""
    return paths.samples(run.family, run.of) / f"{number}.parquet"


def sampled(run: SampleRun, stage_name: str, target: Path) -> list[Response]:
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
    return found


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
