"""How far training moved a model: the distance of its parameters, whole and by parts."""

import pytest
import torch

from orchard.models import card, checkpoint, folders
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


def test_models_in_shards_are_read_as_those_in_one_file(tmp_path):
    before, after = random_llama(), random_llama(seed=4)
    for name, model in (("before", before), ("after", after)):
        model.save_pretrained(tmp_path / name)
        model.save_pretrained(tmp_path / f"{name} in shards", max_shard_size={"before": "9KB", "after": "20KB"}[name])
    pairs = [tmp_path / "before in shards", tmp_path / "after in shards"]
    assert [len(list(folder.glob("*.safetensors"))) > 3 for folder in pairs] == [True, True]
    expected = folders.drift(tmp_path / "before", tmp_path / "after")
    for found in (folders.drift(*pairs), folders.drift(tmp_path / "before", pairs[1])):
        assert found["parts"] == pytest.approx(expected["parts"], rel=1e-12)
        assert found["relative"] == pytest.approx(expected["relative"], rel=1e-12)
    assert card.parameters(pairs[0]) == card.parameters(tmp_path / "before") == before.num_parameters()
    assert folders.dtype_of(pairs[0]) == torch.float32


def test_large_tensors_are_compared_in_pieces(tmp_path, monkeypatch):
    for name, seed in (("before", 3), ("after", 4)):
        random_llama(seed=seed).save_pretrained(tmp_path / name)
    expected = folders.drift(tmp_path / "before", tmp_path / "after")
    monkeypatch.setattr(checkpoint, "PIECE", 7)
    assert folders.drift(tmp_path / "before", tmp_path / "after")["absolute"] == pytest.approx(expected["absolute"])
