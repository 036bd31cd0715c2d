"""Dropout that draws from a generator of its own, so that stacked nets draw what each would."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor, nn

from skgroup.nn.draws import draw_words, new_state

#: Of a random word.
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
        self.register_buffer("state", new_state())

    def forward(self, x: Tensor) -> Tensor:
        """Numbers of the shape of `x`; where states are stacked, (n_nets, ...)."""
        dropped = round(256 * self.p)
        if not self.training or dropped == 0:
            return x
        if dropped == 256:
            return x * 0.0
        size = math.prod(x.shape[self.state.dim() :])
        steps = torch.arange(1, -(-size // _BYTES) + 1, device=self.state.device)
        words = draw_words(self.state, steps)
        places = torch.arange(0, 8 * _BYTES, 8, device=self.state.device)
        bytes_ = ((words[..., None] >> places) & 255).flatten(-2)
        kept = (bytes_[..., :size] >= dropped).reshape(x.shape)
        return x * (kept * (256 / (256 - dropped))).to(x.dtype)

    def extra_repr(self) -> str:
        return f"p={self.p}"
