"""What the choice of layers rests on: the prompts it was made on, and the order in which a search dropped layers."""

import pytest

from orchard import jsonl, paths
from orchard.models import chosen_on, record
from tests.helpers import small_study as small


@pytest.mark.parametrize(
    ("method", "prompts"), [("block-influence", 9), ("greedy", 9), ("reverse", 0), ("random-1", 0)]
)
def test_a_pruned_model_names_the_prompts_that_it_was_chosen_on(method, prompts, small_study):
    if method == "greedy":
        small.searched(1, 0.5)
    folder, rows = small.pruned(method), jsonl.read(small.ITEMS)
    assert chosen_on.overlap(folder, rows) == {"prompts": prompts, "shared": prompts}
    assert chosen_on.overlap(folder, [{"prompt": "calc 9 + 9 :"}]) == {"prompts": prompts, "shared": 0}
    assert chosen_on.overlap(paths.model(small.MODEL), rows) is None


def test_a_lower_ratio_drops_the_layers_that_the_search_dropped_first(small_study):
    order = record.read(small.searched(1, 0.5))["dropped"]
    for ratio, count in ((1, 1), (0.5, 2)):
        facts = record.read(small.pruned("greedy", ratio))
        assert (facts["dropped"], facts["ratio"]) == (sorted(order[:count]), count / 4)
