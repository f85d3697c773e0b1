"""What all tests of stages share: one CPU thread, as every stage sets it for itself."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Sums in another order give other bits; more threads would only wait for each other on models this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
