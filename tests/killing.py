"""Fits in forked processes that are killed, and whether two fitted estimators are the same."""

import os
import signal
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from skgroup.store import RunningFit

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

#: Times, and what a test has changed.
_LEFT_OUT = ("dur", "epoch_start_time_", "checkpoint", "log")


def killed_at(fit, n_saves, *, before=False):
    """Run a fit in a process that is killed, with those that it has started, when it has kept
    something so many times, or in the middle of the last of these. Whether that came."""

    def run():
        save, left = RunningFit.save, [n_saves]

        def counting(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0 and before:
                os.replace = kill
            saved = save(*args, **kwargs)
            if left[0] == 0:
                kill()
            return saved

        RunningFit.save = counting
        fit()

    return _killed(run)


def killed_after(fit, seconds):
    """Run a fit in a process that is killed after some time. Whether it had not ended."""
    return _killed(fit, seconds)


def kill(*args, **kwargs):
    os.killpg(0, signal.SIGKILL)


def _killed(run, seconds=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are not needed
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            warnings.simplefilter("ignore")
            run()
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the fit has failed"
    return os.WIFSIGNALED(status)


def fitted(estimator):
    return {name: value for name, value in vars(estimator).items() if name.endswith("_")}


def assert_same_bits(first, second, where=""):
    """Whether all that two fitted estimators hold is equal to the last bit, but times."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        first, second = first.numpy(force=True), second.numpy(force=True)
    if isinstance(first, np.ndarray) and first.dtype != object:
        assert (first.dtype, first.shape) == (second.dtype, second.shape), where
        assert first.tobytes() == second.tobytes(), where
    elif isinstance(first, nn.Module | torch.optim.Optimizer):
        assert_same_bits(first.state_dict(), second.state_dict(), where)
    elif isinstance(first, torch.Generator | np.random.RandomState):
        assert_same_bits(first.get_state(), second.get_state(), where)
    elif type(first).__module__ == "sklearn.tree._tree":
        assert_same_bits(first.__getstate__(), second.__getstate__(), where)
    elif isinstance(first, dict):
        assert list(first) == list(second), where
        for key in [key for key in first if key not in _LEFT_OUT]:
            assert_same_bits(first[key], second[key], f"{where}[{key!r}]")
    elif isinstance(first, list | tuple | np.ndarray):
        assert len(first) == len(second), where
        for i, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same_bits(one, other, f"{where}[{i}]")
    elif callable(first) or not hasattr(first, "__dict__"):
        assert repr(first) == repr(second) or first == second, where
    else:
        assert_same_bits(vars(first), vars(second), where)
