"""How far training moved a model: the distance of its parameters, whole and by parts."""

import pytest
import torch

from orchard.models import folders
from tests.helpers.llama import random_llama


def test_drift_is_the_distance_of_the_parameters_and_its_parts_make_it_up(tmp_path):
    before = random_llama(tie_word_embeddings=False)
    before.save_pretrained(tmp_path / "before")
    after = random_llama(tie_word_embeddings=False)
    with torch.no_grad():
        after.model.layers[2].mlp.up_proj.weight[0, 0] += 3.0
        after.model.layers[2].mlp.up_proj.weight[1, 0] -= 4.0
        after.model.embed_tokens.weight[0, 0] += 12.0
        after.model.norm.weight[0] += 84.0
    after.save_pretrained(tmp_path / "after")
    found = folders.drift(tmp_path / "before", tmp_path / "after")
    moved = {"2": 5.0, "embedding": 12.0, "other": 84.0}
    assert found["parts"] == pytest.approx(dict.fromkeys("0123", 0.0) | moved, abs=1e-5)
    assert found["absolute"] == pytest.approx(85.0, abs=1e-5)  # 5² + 12² = 13², 13² + 84² = 85²
    norm = sum(values.double().square().sum().item() for values in before.state_dict().values()) ** 0.5
    assert found["relative"] == pytest.approx(85.0 / norm, abs=1e-6)
