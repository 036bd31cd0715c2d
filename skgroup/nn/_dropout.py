"""Dropout that draws from a generator of its own, so that stacked nets draw what each would."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor, nn

#: Increment and multipliers of SplitMix64 (Steele, Lea, Flood 2014), as signed numbers.
_STEP, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
_BYTES = 8


class Dropout(nn.Module):
    """Set each number to zero with probability `p` in training, and scale up the others.

    As `torch.nn.Dropout`, but for two things. Masks follow from a state of the module's own,
    drawn when it is built, and the number of passes since: torch's generator is not asked, so that
    nets that train as one batched pass have the masks that each would have alone. And `p` is
    rounded to a multiple of 1/256, as a byte decides.

    Parameters
    ----------
    p : float, default=0.5
        In [0, 1].

    Raises
    ------
    ValueError
        If `p` is no number from 0 to 1.
    """

    p: float
    state: Tensor

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not isinstance(p, Real) or not 0 <= p <= 1:
            raise ValueError(f"dropout must be a number from 0 to 1. Got {p!r}.")
        self.p = float(p)
        self.register_buffer("state", torch.randint(2**62, ()))

    def forward(self, x: Tensor) -> Tensor:
        """Numbers of the shape of `x`; where states are stacked, (n_nets, ...)."""
        dropped = round(256 * self.p)
        if not self.training or dropped == 0:
            return x
        if dropped == 256:
            return x * 0.0
        size = math.prod(x.shape[self.state.dim() :])
        steps = torch.arange(1, -(-size // _BYTES) + 1, device=self.state.device) * _STEP
        words = self.state[..., None] + steps
        self.state.copy_(words[..., -1])
        places = torch.arange(0, 8 * _BYTES, 8, device=self.state.device)
        bytes_ = ((_mixed(words)[..., None] >> places) & 255).flatten(-2)
        kept = (bytes_[..., :size] >= dropped).reshape(x.shape)
        return x * (kept * (256 / (256 - dropped))).to(x.dtype)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _mixed(z: Tensor) -> Tensor:
    """Random bits of numbers in sequence: the output function of SplitMix64."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, n: int) -> Tensor:
    """Unsigned shift to the right; torch's fills up with the sign."""
    return (z >> n) & ((1 << (64 - n)) - 1)
