"""orchard's command line. Stages and studies are run by Snakemake."""

import argparse
import json
import math
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from orchard import paths, processes
from orchard.errors import of_machine, printable


class Answer(NamedTuple):
    """What a command prints, and its exit status."""

    text: str
    status: int = 0


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status. A mistake ends in its one message and status 1."""
    options = parser().parse_args(arguments)
    try:
        answer = options.run(options)
    except Exception as error:
        if not (message := of_machine(error)):
            raise
        print(f"\n{message}", file=sys.stderr)
        return 1
    print(printable(answer.text))
    return answer.status


# Commands. Each imports what it needs: DVC and pandas take a second.


def use(options) -> Answer:
    from orchard.study import switch

    return Answer(switch.use(options.study, options.force))


def config(options) -> Answer:
    from orchard.study import load

    return Answer(load.describe(options.file))


def check(options) -> Answer:
    from orchard.study import load, overlaps, params

    study = load.load(options.file)
    if options.file == paths.CONFIG:
        (params.refuse_behind if options.look else params.write)(study)
    return Answer("\n".join([f"OK: {options.file} is a valid study, {study.name!r}", *overlaps.notes(study)]))


def schema(options) -> Answer:
    from orchard.study import json_schema

    return Answer(json.dumps(json_schema.overlay_schema(), indent=2))


def plan(options) -> Answer:
    from orchard.lineage import plan

    return Answer(plan.plan(options.all))


def costs(options) -> Answer:
    from orchard.lineage import costs

    return Answer(costs.table())


def estimate(options) -> Answer:
    from orchard.estimate import estimate, show
    from orchard.study import overlay

    file = Path(options.study)
    path = file if file.is_file() else overlay.study_file(options.study, "orchard estimate")
    found = estimate.estimate(path, options.device, options.speed, dict(options.config))
    return Answer(show.as_json(found) if options.json else show.table(found), status=int(bool(found.failed)))


def config_of(text: str) -> tuple[str, Path]:
    """A base model's name and its config: NAME=FILE."""
    name, is_given, file = text.partition("=")
    if not (name and is_given and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, Path(file)


def factor(text: str) -> float:
    """A number above 0."""
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def verify(options) -> Answer:
    if options.recompute:
        return made_anew(options.recompute, options.seed)
    from orchard.lineage import verify

    return Answer(*verify.verify())


def made_anew(asked: list[str], seed: int | None) -> Answer:
    from orchard.rerun import recompute
    from orchard.share import pull

    chosen = recompute.choose(asked, seed)
    if chosen.missing:
        pull.pull(chosen.missing)
    return Answer(*recompute.recompute(chosen))


def trace(options) -> Answer:
    from orchard.lineage import trace

    return Answer(trace.trace(options.path))


def compare(options) -> Answer:
    from orchard.lineage import compare

    return Answer(compare.compare(options.before, options.after, options.markdown))


def pull(options) -> Answer:
    from orchard.share import pull

    return Answer(pull.pull(options.outputs))


def remote(options) -> Answer:
    from orchard.share import name

    return Answer(name.name(options.url))


def share(options) -> Answer:
    from orchard.share import push

    return Answer(push.push())


def publish(options) -> Answer:
    from orchard.share import publish

    return Answer(publish.publish_beside(options.to) if options.to else publish.publish())


def release(options) -> Answer:
    from orchard.share import release

    return Answer(release.release(options.tag))


def graph(options) -> Answer:
    from orchard.lineage import graph

    text = paths.GRAPH.read_text()
    if text == (wanted := graph.with_code_deps(text)):
        return Answer(f"{paths.GRAPH}: its code dependencies are what the stages import")
    if not options.write:
        return Answer(
            f"{paths.GRAPH}: its code dependencies are not what the stages import: `orchard graph --write`", 1
        )
    paths.GRAPH.write_text(wanted)
    return Answer(f"{paths.GRAPH}: written anew")


def merge_lock(options) -> Answer:
    from orchard.rerun import lockfile

    return Answer(lockfile.merge(options.base, options.ours, options.theirs))


class Command(NamedTuple):
    """A command: what it does, in the words of --help, its function, and its arguments for argparse."""

    help: str
    run: Callable
    arguments: Sequence[tuple[str, dict]] = ()


REVISION = "a git revision with the dvc.lock of a run, or a claims.csv such as docs/report/claims.csv"
GROUPS: dict[str, dict[str, Command]] = {
    "set a study up": {
        "use": Command(
            "switch to a study of studies/",
            use,
            [
                ("study", {}),
                ("--force", {"action": "store_true", "help": "replace a config.yaml that git does not have"}),
            ],
        ),
        "config": Command(
            "print the whole study, with the origin of each value",
            config,
            [("file", {"nargs": "?", "default": paths.CONFIG, "type": Path})],
        ),
        "check": Command(
            "validate a study, and bring params.yaml up to date",
            check,
            [
                ("file", {"nargs": "?", "default": paths.CONFIG, "type": Path}),
                ("--look", {"action": "store_true", "help": "write nothing; status 1 if params.yaml is behind"}),
            ],
        ),
        "schema": Command("print the JSON schema of a config, for editors", schema),
    },
    "know before a run": {
        "plan": Command(
            "print what a run would restore and what it must run, and how long it takes",
            plan,
            [("--all", {"action": "store_true", "help": "name the fresh stages too"})],
        ),
        "costs": Command("print what this folder's runs cost, by family of stages", costs),
        "estimate": Command(
            "measure some steps of a study's stages here; print hours, memory and disk of all; status 1 if any failed",
            estimate,
            [
                ("study", {"nargs": "?", "default": str(paths.CONFIG), "help": "one of studies/, or a config file"}),
                (
                    "--device",
                    {"choices": ["cpu", "cuda"], "help": "what to measure on; else what the study would take"},
                ),
                (
                    "--speed",
                    {
                        "type": factor,
                        "default": 1.0,
                        "help": "how many times as fast the machine is that the study will run on: divides the hours",
                    },
                ),
                (
                    "--config",
                    {
                        "type": config_of,
                        "action": "append",
                        "default": [],
                        "metavar": "NAME=FILE",
                        "help": "the config.json, or folder, of a base model that is not here",
                    },
                ),
                ("--json", {"action": "store_true", "help": "print each stage, in seconds and bytes"}),
            ],
        ),
    },
    "ask where a number comes from": {
        "verify": Command(
            "say which outputs in dvc.lock are not what code and study make, and why; status 1 if any",
            verify,
            [
                (
                    "--recompute",
                    {
                        "nargs": "+",
                        "metavar": ("N", "STAGE"),
                        "help": "instead make N stages at random, or those that are named, anew from their inputs, "
                        "beside the results, and say which give what dvc.lock records",
                    },
                ),
                ("--seed", {"type": int, "help": "of the draw of N stages"}),
            ],
        ),
        "trace": Command(
            "print the chain from a result back to data and code",
            trace,
            [("path", {"help": "an output of a stage, or a file in one"})],
        ),
        "compare": Command(
            "print what two runs differ in: claims, whether their intervals hold, and what they were made of",
            compare,
            [
                ("before", {"help": REVISION}),
                ("after", {"help": REVISION}),
                ("--markdown", {"action": "store_true", "help": "only the claims side by side, as a table"}),
            ],
        ),
    },
    "share and publish": {
        "remote": Command("name the DVC remote", remote, [("url", {"help": "a folder, or a URL that DVC knows"})]),
        "share": Command("push every output to the DVC remote", share),
        "pull": Command(
            "bring outputs here, as `dvc pull` does, but check first what comes from others",
            pull,
            [("outputs", {"nargs": "*", "help": "without any: all of this study"})],
        ),
        "publish": Command(
            "put a run's findings into docs/ and the README",
            publish,
            [("--to", {"type": Path, "help": "a folder of docs/, for a study that the README does not show"})],
        ),
        "release": Command(
            "push the outputs, tag the commit, pack the report", release, [("tag", {"help": "the new git tag"})]
        ),
    },
    "work on orchard itself": {
        "graph": Command(
            "say whether dvc.yaml names the code that stages import",
            graph,
            [("--write", {"action": "store_true", "help": "write the code dependencies anew"})],
        ),
        "merge-lock": Command(
            "merge two dvc.lock by stage, as git's merge driver",
            merge_lock,
            [(side, {"type": Path}) for side in ("base", "ours", "theirs")],
        ),
    },
}


def parser() -> argparse.ArgumentParser:
    """The commands; --help groups them by what a user wants."""
    width = max(len(name) for commands in GROUPS.values() for name in commands)
    groups = [
        "\n".join([f"{title}:", *(f"  {name:{width}}  {command.help}" for name, command in commands.items())])
        for title, commands in GROUPS.items()
    ]
    top = argparse.ArgumentParser(
        prog="orchard",
        usage="orchard COMMAND [...]",
        description="Reproduces PEAR and On the Limits of Layer Pruning. `snakemake --cores all` runs the study.",
        epilog="\n\n".join([*groups, "orchard COMMAND --help says more of one."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    for group in GROUPS.values():
        for name, command in group.items():
            one = commands.add_parser(name, description=command.help)
            for argument, settings in command.arguments:
                one.add_argument(argument, **settings)
            one.set_defaults(run=command.run)
    return top


def console() -> None:
    """The console command `orchard`."""
    processes.settle()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head may stop early
    sys.exit(main())


if __name__ == "__main__":
    console()
