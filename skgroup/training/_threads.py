"""How many threads torch should use for a net."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

#: Multiply-adds a batch (weights times samples) from which on threads pay for being woken up.
_WORTH_THREADS = 2**25


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """One thread inside the block, if that is wanted, and torch's number again after it."""
    before = torch.get_num_threads()
    if before == 1 or not wanted:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(
    module: nn.Module, n_samples: int, input_shape: Any
) -> AbstractContextManager[None]:
    """One thread inside the block if the net is small, and torch's number again after it.

    The steps of a small net take microseconds. Handing them to several threads gains nothing on
    an idle machine and, where other processes want the cores too, costs up to a hundredfold:
    each operation then waits for the thread that is not running.

    Parameters
    ----------
    module : torch.nn.Module
    n_samples : int
        Samples in a batch.
    input_shape : tuple of int, or None
        Shape of one sample. Nets of images (and of what is not known) keep all threads: their
        weights say little of the work.
    """
    weights = sum(p.numel() for p in module.parameters()) * getattr(module, "n_members", 1)
    small = input_shape is not None and len(input_shape) == 1
    # A batch of all samples (-1) may be of any size.
    return one_thread(small and n_samples >= 0 and weights * n_samples < _WORTH_THREADS)
