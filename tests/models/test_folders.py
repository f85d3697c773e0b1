"""Loading of model folders: what is broken is refused in one message."""

import pytest

from orchard.errors import UserError
from orchard.models import folders
from tests.helpers.checkpoints import damaged
from tests.helpers.messages import assert_one_message


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("no config", "has no config.json"),
        ("a tensor missing", "lacks 1 tensors, first model.layers.3.mlp.up_proj.weight"),
        ("a tensor of another shape", "cannot be loaded"),
        ("truncated weights", "cannot be loaded"),
        ("no tokenizer", "has no tokenizer.json"),
    ],
)
def test_bad_checkpoint(damage, expected, model, tmp_path):
    folder = damaged(model, tmp_path / "damaged", damage)
    with pytest.raises(UserError) as error:
        folders.load_tokenizer(folder) if damage == "no tokenizer" else folders.load_model(folder)
    assert_one_message(str(error.value), [expected])
    folders.load_model(model)
