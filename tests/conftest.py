"""What the tests share: one thread, real data, and a check of the global random state."""

import numpy as np
import pytest
import torch

from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.nn import MLP

# The nets of the tests are so small that a second thread costs more than it brings, and much
# more where other processes want the core too.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits():
    """The first 600 digits with their 15 tasks: X (600, 64), Y (600, 15)."""
    X, Y = load_digit_tasks(return_X_y=True)
    return X[:600], Y[:600]


@pytest.fixture
def small_net():
    """A net that trains in a fraction of a second."""
    return MultiTaskNet(module__hidden_units=(16,), max_epochs=4, lr=0.01, batch_size=64)


class ZeroHeads(MLP):
    """Starts from the same weights wherever its tasks stand: from zero in the heads, and a trunk
    that is drawn before them."""

    def __init__(self, n_outputs, n_features, hidden_units=(16,)):
        super().__init__(n_outputs, n_features, hidden_units=hidden_units)
        for parameter in self.heads.parameters():
            torch.nn.init.zeros_(parameter)


@pytest.fixture
def zero_heads():
    """A module for tests of what permuting the tasks does: drawn weights do not follow."""
    return ZeroHeads


@pytest.fixture
def assert_global_random_state_untouched():
    """Fails at the end of a test that drew from, or seeded, NumPy's or torch's global state."""
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    yield
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
