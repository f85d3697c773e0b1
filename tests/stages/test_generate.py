"""Generated sets of the studies that come with orchard."""

from orchard import yamls
from orchard.stages import generate
from orchard.study.schema.study import Study
from tests.helpers.project import ROOT


def test_the_smollm2_studys_few_shot_examples_are_not_among_its_questions():
    sets = Study.model_validate(yamls.read(ROOT / "studies/smollm2.yaml")).data.generate
    drawn = {name: {item["prompt"] for item in generate.from_mix(asked)} for name, asked in sets.items()}
    assert (len(drawn["arithmetic"]), len(drawn["arithmetic-shots"])) == (60, 3)
    assert not drawn["arithmetic"] & drawn["arithmetic-shots"]
