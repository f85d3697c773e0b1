"""One run of Snakemake, in its main process: what it validates, asks and does.

- Reading the Snakefile validates the study and nothing else: it moves and writes nothing.
- What is stale is asked when Snakemake works out which jobs to start.
- Only a real run acts: it locks the folder, writes params.yaml, sets other studies' outputs aside, asks the remote.

Snakemake judges by time stamps, which a clone does not have, and which clocks of several machines set. So it compares
none: a stage that `orchard.lineage.project` calls stale is forced, and inputs are `ancient` unless a stale stage makes
them. The job (orchard.rerun.job) is `dvc repro` of that one stage, which runs the command, restores its output from
the cache or a remote, or finds that nothing changed after all.
"""

import functools
import os
import sys

from snakemake.io import ancient

from orchard import arithmetic, paths
from orchard.errors import UserError, did_you_mean
from orchard.lineage import gate, graph, parsed, project
from orchard.lineage.graph import Graph
from orchard.rerun import alive, aside, began, dvc_patches, machine, progress, remote, warm
from orchard.rerun.rules import Rules, or_exit
from orchard.study import load, params


class Run(Rules):
    """A run of Snakemake in the project's root.

    Args:
        workflow: Snakemake's workflow object.
    """

    def __init__(self, workflow):
        super().__init__(workflow)
        dvc_patches.leave_git_alone()
        dvc_patches.before_execution(workflow, functools.partial(or_exit, self._prepare))

    def _read(self) -> Graph:
        """The graph, of a study that is valid. Nothing is moved or written."""
        dvc_patches.refuse_other_versions()
        _refuse_overrides(self.workflow.config_settings.config, self.workflow.config_settings.configfiles)
        self.study = load.load()
        self.tree = params.tree(self.study)
        with gate.repository({"no_scm": True}) as repo:
            return graph.fill_in(repo, graph.read(), self.tree)

    def _prepare(self, is_real: bool, is_local: bool) -> None:
        """What comes before Snakemake works out what to run."""
        _refuse_unknown(self.workflow.dag_settings, self.graph, [rule.name for rule in self.workflow.rules])
        if is_real:
            alive.be_the_only_run()
            machine.refuse_unfit()
            alive.wait_for_old_jobs()
            aside.swap(self.graph.outs, self.study.name)
            params.write(self.study)
            parsed.read(paths.PARAMS)  # so that no job has to parse it
            began.note(self.graph, self.tree)
            if is_local:  # a cluster's nodes have CPUs of their own, and their stages ask them
                arithmetic.refuse_unfit_machine()
        changed, behind = self.stale
        progress.print_plan(list(self.graph.stages), changed, behind, self.workflow.resource_settings.cores, is_real)
        if is_real and changed:
            remote.meet(changed)
            if is_local:
                warm.start()

    @functools.cached_property
    def stale(self) -> tuple[list[str], list[str]]:
        """The stages that are stale themselves, and those behind a stale one."""
        with project.opened(self.tree, self.graph) as opened:
            return opened.to_start()

    def forced(self) -> list[str]:
        return [self.graph.stages[name].out for name in or_exit(lambda: self.stale)[0]]

    @property
    def outputs(self) -> list[str]:
        return list(self.graph.outs)

    def inputs(self, wildcards) -> list:
        stale = {name for each in or_exit(lambda: self.stale) for name in each}
        makers = {path: self.graph.outs.get(path) for path in self.read_by(wildcards)}
        return [path if maker and maker.name in stale else ancient(path) for path, maker in makers.items()]

    def on_start(self) -> None:
        """When jobs are about to start."""
        dvc_patches.lift_job_rate(self.workflow)
        progress.report(sum(map(len, self.stale)))

    def on_end(self) -> None:
        """When the last job has ended."""
        progress.print_failures()
        if changed := began.tell_change():
            print(f"\n{changed}", file=sys.stderr)

    def on_success(self) -> None:
        """When every job has done its work."""
        from orchard.lineage import published  # pandas and scipy, which no run needs before its end

        self.on_end()
        if beside := published.beside():
            print(f"\n{beside}", file=sys.stderr)


def _refuse_overrides(overrides: dict, files: list) -> None:
    """Snakemake's --config and --configfile would change what Snakemake sees and not what DVC sees."""
    if overrides or files:
        raise UserError(
            found=f"--config or --configfile ({overrides or files})",
            rule="the study is the content of config.yaml",
            why="DVC decides what to run by that file and would not see the change",
            fix="edit config.yaml, or switch to another study with `orchard use <study>`",
        )


def _refuse_unknown(asked, stages: Graph, rules: list[str]) -> None:
    """Raises a UserError if a name on the command line is neither an output nor a rule.

    Args:
        asked: Snakemake's settings of what is to be made.
        stages: the graph.
        rules: the names of the rules.
    """
    for name in {*asked.targets, *asked.until, *asked.omit_from, *asked.forcerun}:
        if name in stages.stages:
            fix = f"its output is {stages.stages[name].out}"
        else:
            fix = did_you_mean(name, [*stages.outs, *rules], "`orchard plan --all` names all outputs")
        if os.path.relpath(name) not in {*stages.outs, *rules}:
            raise UserError(
                found=f"{name!r}, which no stage of this study makes",
                rule="what is asked for is an output of a stage, such as results/report, or a rule",
                why="there is nothing to run for it",
                fix=fix,
            )
