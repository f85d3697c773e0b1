"""Which figures the report has, in their order."""

import pandas

from orchard.report.figures import overview, pear, pruning, responses
from orchard.report.figures.figure import Figure
from orchard.report.pear_study import PearStudy
from orchard.report.pruned_study import PrunedStudy


def sections(
    pear_study: PearStudy, pruned_study: PrunedStudy, judged: pandas.DataFrame, trails: dict[str, list[dict]]
) -> dict[str, list[Figure]]:
    """The figures that the study has data for, by section of the page."""
    every = {
        "claims": [overview.verdicts(judged, pear_study.confidence)],
        "PEAR": pear_figures(pear_study) if pear_study.report.pear else [],
        "LLP": pruning_figures(pruned_study),
        "stages": [overview.stages(trails)],
    }
    return {name: [figure for figure in figures if len(figure.table)] for name, figures in every.items()}


def pear_figures(study: PearStudy) -> list[Figure]:
    """What SFT left, what RL made of it, and the way there."""
    doses = pear.doses(study)
    return [
        pear.reinforcement(study),
        doses,
        pear.courses(study, doses.table),
        pear.curves(study),
        pear.drift(study),
        pear.weights(study),
    ]


def pruning_figures(study: PrunedStudy) -> list[Figure]:
    """What pruning leaves, and what recovery brings back."""
    retentions = pruning.retention_table(study)
    return [
        pruning.retention(retentions, study.confidence),
        pruning.recovery(retentions, study.confidence),
        pruning.speeds(study, retentions),
        pruning.tokens(study),
        pruning.skips(study),
        responses.degeneration(study),
        responses.errors(study),
        pruning.probes(study),
        pruning.protocols(study),
    ]
