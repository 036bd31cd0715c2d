"""Seeds, without touching the caller's global random state."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

__all__ = ["draw_seeds", "local_seed"]


def draw_seeds(random_state: Any, size: int) -> list[int]:
    """Seeds from a `random_state` as scikit-learn takes it; fresh entropy if it is None."""
    if random_state is None:
        random_state = np.random.RandomState(np.random.SeedSequence().generate_state(4))
    return check_random_state(random_state).randint(2**31 - 1, size=size).tolist()


# The generators belong to the process: one thread at a time may have them.
_GENERATORS = threading.RLock()


@contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and put them back after the block.

    Other threads that come here wait for the end of the block.
    """
    with (
        _GENERATORS,
        torch.random.fork_rng(devices=range(torch.cuda.device_count())),
    ):
        state, of_python = np.random.get_state(), random.getstate()
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)  # Datasets and transforms of users may draw from it
        try:
            yield
        finally:
            np.random.set_state(state)
            random.setstate(of_python)
