"""orchard's own command line; stages and studies are run by Snakemake.

python -m orchard check [FILE]     validates a study (config.yaml)
python -m orchard schema           prints the JSON schema of a study
python -m orchard verify           says which outputs in dvc.lock are not what code and config make, and why
python -m orchard plan [--all]     prints what a run would restore and what it must run, and how long it takes
python -m orchard trace PATH       prints where a result comes from
python -m orchard compare A B      prints what two git revisions differ in: claims, and what they were made of
python -m orchard publish [--to]   puts a run's findings into docs/ and the README, or into another folder
python -m orchard merge-lock BASE OURS THEIRS   git's merge driver for dvc.lock (set up by `make merge-driver`)
python -m orchard share            pushes every output to the DVC remote
python -m orchard release TAG      pushes the outputs, tags the commit, packs the report
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from orchard import compare, config, lockfile, plan, publish, release, runs, share, trace, verify
from orchard.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status. A user's mistake ends in its one message and status 1."""
    options = parser().parse_args(arguments)
    try:
        told = options.run(options)
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    text, status = told if isinstance(told, tuple) else (told, 0)
    print(text)
    return status


def parser() -> argparse.ArgumentParser:
    """The commands."""
    top = argparse.ArgumentParser(prog="python -m orchard", description="Checks a study, and traces its results.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="validate a study")
    check.add_argument("file", nargs="?", default="config.yaml", type=Path)
    check.set_defaults(run=lambda options: checked(options.file))
    schema = commands.add_parser("schema", help="print the JSON schema of a study, for editors")
    schema.set_defaults(run=lambda options: json.dumps(config.Study.model_json_schema(), indent=2))
    verifying = commands.add_parser("verify", help="say whether dvc.lock is what code and config make; status 1 if not")
    verifying.set_defaults(run=lambda options: verify.verify())
    planning = commands.add_parser("plan", help="print what a run would do with each stage")
    planning.add_argument("--all", action="store_true", help="name the fresh stages too")
    planning.set_defaults(run=lambda options: plan.plan(options.all))
    tracing = commands.add_parser("trace", help="print the chain from a result back to data and code")
    tracing.add_argument("path", help="an output of a stage, or a file in one")
    tracing.set_defaults(run=lambda options: trace.trace(options.path))
    comparing = commands.add_parser("compare", help="print what two git revisions differ in")
    comparing.add_argument("before", help="a git revision with the dvc.lock of a run")
    comparing.add_argument("after", help="another one")
    comparing.set_defaults(run=lambda options: compare.compare(options.before, options.after))
    publishing = commands.add_parser("publish", help="put a run's findings into docs/ and the README")
    publishing.add_argument("--to", type=Path, help="a folder of docs/ for a study that the README does not show")
    publishing.set_defaults(run=lambda options: publish.publish_beside(options.to) if options.to else publish.publish())
    merging = commands.add_parser("merge-lock", help="merge two dvc.lock by stage, as git's merge driver")
    for side, text in (("base", "the common ancestor"), ("ours", "gets the result"), ("theirs", "the other side")):
        merging.add_argument(side, type=Path, help=f"a dvc.lock: {text}")
    merging.set_defaults(run=lambda options: lockfile.merge(options.base, options.ours, options.theirs))
    sharing = commands.add_parser("share", help="push every output to the DVC remote")
    sharing.set_defaults(run=lambda options: share.share())
    releasing = commands.add_parser("release", help="push the outputs, tag the commit, pack the report")
    releasing.add_argument("tag", help="the new git tag")
    releasing.set_defaults(run=lambda options: release.release(options.tag))
    return top


def checked(file: Path) -> str:
    """Validates a study; if it is the active one, brings runs.yaml up to date."""
    study = config.load(file)
    if file == Path("config.yaml"):
        runs.write(study.model_dump())
    return f"OK: {file} is a valid study, {study.name!r}"


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head may stop early
    sys.exit(main())
