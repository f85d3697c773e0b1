"""Brings the files of a public benchmark into orchard's form: items, one JSON object per line.

    python -m orchard.stages.ingest SET

An item whose own reference answer its task calls wrong is refused: then no response to it would ever be right.
"""

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.processes import Progress
from orchard.stages import stage
from orchard.study.schema.data import Ingest
from orchard.tasks import benchmarks, registry


def main(name: str) -> None:
    asked = stage.params(Ingest, "data", "ingest", name)
    items = ingest(asked, stage.params(bool, "evaluate", "unsafe_programs"), f"ingest@{name}")
    with stage.output(paths.data_set(asked.role, name)) as scratch:
        jsonl.write(scratch, registry.stamped(items))
    if asked.leave_out:
        print(f"ingest@{name}: {len(items)} items, {len(asked.leave_out)} left out: {', '.join(asked.leave_out)}")


def ingest(asked: Ingest, unsafe: bool = False, name: str = "ingest") -> list[dict]:
    """The items of a set.

    Args:
        asked: the set.
        unsafe: whether a reference program may run without a sandbox.
        name: of the stage, for its progress.

    Raises:
        UserError: there is no such file, a row is broken or lacks a field (file and row are named), or an item's own
            answer is wrong.
    """
    items = benchmarks.read(asked)
    tried = [item for item in items if item["answer"] and registry.load(item["task"]).tries_answers]
    progress, wrong = Progress(name, len(tried)), {}
    for item in tried:
        judgement = registry.load(item["task"]).judge(item, item["answer"], unsafe=unsafe)
        if not judgement.right:
            wrong[item["id"]] = judgement.error
        progress.step()
    refuse_wrong(wrong, len(items), asked.path)
    return items


def refuse_wrong(wrong: dict[str, str], count: int, path: str) -> None:
    """Raises a UserError for items whose own answer is wrong, by id with what is wrong."""
    if not wrong:
        return
    named = list(wrong.items())[: benchmarks.MOST_NAMED]
    more = f" and {len(wrong) - len(named)} more" if len(wrong) > len(named) else ""
    raise UserError(
        found=f"{path}: {len(wrong)} of {count} items whose own answer is not right: "
        + ", ".join(f"{item} ({error})" for item, error in named)
        + more,
        rule="an item's reference answer passes its own test",
        why="where it fails, no response is ever right, and every model scores 0",
        fix=f"correct the rows, or leave them out: {benchmarks.leaves_out(list(wrong))}",
    )


if __name__ == "__main__":
    stage.run(main, computes=False)
