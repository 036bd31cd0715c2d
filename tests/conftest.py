"""What the tests share: one thread, real data, and a check of the global random state."""

import gc
import multiprocessing
import os
import signal
import warnings
from multiprocessing import forkserver

import numpy as np
import pytest
import torch
from joblib import parallel_config
from netting import new_full_batch_net

from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks
from skgroup.nn import MLP

# The nets of the tests are so small that a second thread costs more than it brings, and much
# more where other processes want the core too.
torch.set_num_threads(1)

# What one test has left to be thrown away may have threads (sessions of onnxruntime), which a
# forked process of another has not: thrown away there, it would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gc.freeze)


def pytest_collection_finish():
    """What was imported stays: each look through it for garbage takes as long as a small test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def quick_processes():
    """A context of multiprocessing whose processes, of one thread, find skgroup imported."""
    context = multiprocessing.get_context("forkserver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        context.set_forkserver_preload(
            ["skgroup", "torch._dynamo", "distributed", "examples.accelerate_net"]
        )
        forkserver.ensure_running()
    return context


@pytest.fixture(scope="session")
def digits():
    """The first 600 digits with their 15 tasks: X (600, 64), Y (600, 15)."""
    X, Y = load_digit_tasks(return_X_y=True)
    return X[:600], Y[:600]


@pytest.fixture
def small_net():
    """A net that trains in a fraction of a second."""
    return MultiTaskNet.stg_mtl(module__hidden_units=(16,), max_epochs=4, lr=0.01, batch_size=64)


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


@pytest.fixture(scope="module")
def mixed(digits):
    """Tasks of every kind: X (300, 64), Y (300, 4) of objects, with 2, 3, 2 and 5 classes."""
    X, Y = digits[0][:300], digits[1][:300]
    digit = Y[:, :10].argmax(axis=1)
    tasks = np.empty((300, 4), dtype=object)
    tasks[:, 0] = np.where(Y[:, 12], "odd", "even")
    tasks[:, 1] = digit % 3
    tasks[:, 2] = (digit > 4).tolist()
    tasks[:, 3] = np.array(list("edcba"))[digit // 2]
    return X, tasks


@pytest.fixture
def full_batch_net():
    """A net whose start is known and whose only step an epoch sees all samples."""
    return new_full_batch_net()


@pytest.fixture(scope="module")
def partly_labelled():
    """Binary and multiclass tasks with missing labels, one of them rarely labelled."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)).astype(np.float32)
    Y = np.column_stack(
        [
            X[:, 0] > 0,
            X[:, 0] + X[:, 1] > 0.5,
            np.digitize(X[:, 1], [-0.5, 0.5]),
            rng.integers(4, size=300),
            X[:, 2] > 1,
        ]
    ).astype(float)
    Y[rng.random(Y.shape) < 0.3] = np.nan
    Y[rng.random(300) < 0.97, 1] = np.nan  # not in every batch
    return X, Y


@pytest.fixture(scope="module")
def partly_measured(partly_labelled):
    """The same with numbers in place of two of the five tasks, in units far from 0 and 1."""
    X, Y = partly_labelled
    noise = np.random.default_rng(1).normal(size=(300, 2))
    numbers = [X[:, 0] + X[:, 1], 1e3 * X[:, 2] ** 2 + 5e4] + noise.T * [[1.0], [300.0]]
    Y = Y.copy()
    Y[:, [1, 3]] = np.where(np.isnan(Y[:, [1, 3]]), np.nan, numbers.T)
    return X, Y


@pytest.fixture
def seeded():
    """torch draws from seed 0, and goes on as it was afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def tasks(digits):
    """X (200, 64) and a DataFrame of four named tasks, small enough to train on in no time."""
    pd = pytest.importorskip("pandas")
    X, Y = digits
    return X[:200], pd.DataFrame(Y[:200, -4:], columns=["even", "low", "round", "prime"])


@pytest.fixture
def closed_figures():
    """Closes the figures that a test has drawn."""
    yield
    pytest.importorskip("matplotlib.pyplot").close("all")


class Forked:
    """As long as it lives, what happens after a fork may be registered."""


@pytest.fixture
def forked():
    """Processes of `n_jobs` that need not import anything, as most of such a test would be."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("processes cannot be forked")
    with warnings.catch_warnings(), parallel_config(backend="multiprocessing"):
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are not needed
        yield Forked()


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """A shell starts what runs in its background with Ctrl-C ignored; tests send it themselves."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def few_trees(monkeypatch):
    """The forests that portfolios and `compare` have of their own are small."""
    monkeypatch.setattr("skgroup.ensemble._default_members._N_TREES", 10)
