"""Random bits that follow from a state in a tensor, so that stacked nets draw what each would."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw_words", "new_state"]

#: Increment and multipliers of SplitMix64 (Steele, Lea, Flood 2014), as signed numbers.
_STEP, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


def new_state() -> Tensor:
    """A state (), drawn from torch's generator."""
    return torch.randint(2**62, ())


def draw_words(state: Tensor, places: Tensor) -> Tensor:
    """Random words (..., n_places) of 64 bits, at `places` (n_places,), from 1 on, of the sequence
    that follows a state (...), which is moved to the last of them."""
    steps = state[..., None] + places * _STEP
    state.copy_(steps[..., -1])
    return _mixed(steps)


def _mixed(z: Tensor) -> Tensor:
    """Random bits of numbers in sequence: the output function of SplitMix64."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, n: int) -> Tensor:
    """Unsigned shift to the right; torch's fills up with the sign."""
    return (z >> n) & ((1 << (64 - n)) - 1)
