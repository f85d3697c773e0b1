"""One CPU thread for tests of models, as every stage has."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Sums in another order give other bits, and several threads only wait for each other on models this small.

    It holds for the package whose conftest.py imports it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
