"""TabM: many members in one net, which share most of their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from skgroup.nn._blocks import make_module
from skgroup.nn._dropout import Dropout
from skgroup.nn._heads import MemberHeads
from skgroup.nn._network import check_widths


class MemberLinear(nn.Module):
    """A linear layer of all members, who share its matrix: ((h ∘ r_i) W) ∘ s_i + b_i of member i.

    Parameters
    ----------
    n_in, n_out : int
    n_members : int
    random_signs : bool
        Whether the r start as random signs, so that members differ; else at 1.
    """

    def __init__(self, n_in: int, n_out: int, n_members: int, *, random_signs: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound))
        r = torch.ones(n_members, n_in)
        if random_signs:
            r = 2.0 * torch.randint(2, r.shape) - 1.0
        self.r = nn.Parameter(r)
        self.s = nn.Parameter(torch.ones(n_members, n_out))
        bias = torch.empty(n_out).uniform_(-bound, bound)
        self.bias = nn.Parameter(bias.repeat(n_members, 1))

    def forward(self, h: Tensor) -> Tensor:
        """Outputs (batch, n_members, n_out) of inputs (batch, n_members, n_in), or (batch, 1,
        n_in) where all members see the same."""
        return torch.addcmul(self.bias, (h * self.r) @ self.weight.T, self.s)


class TabM(nn.Module):
    """Many multilayer perceptrons for the price of a few: members that share most weights [1]_.

    Each of `n_members` members is a net of its own to the data: it has its own heads, and scales
    inputs and outputs of every layer its own way, while the matrices of the layers are shared.
    Members are trained side by side, each on its own loss, and predictions are the mean of their
    probabilities. On tables of numbers this is a strong default.

    Parameters
    ----------
    n_outputs : int
        Number of logits of all tasks together.
    n_features : int, default=None
        Number of features of the input. May be left out where `input_shape` is given.
    input_shape : tuple of int, default=None
        Shape of one sample; inputs of more than one dimension are flattened.
    n_members : int, default=16
        The paper has 32.
    hidden_units : int or sequence of int, default=(256, 256)
        Width of each hidden layer, an int being one; at least one. The paper has three of 512.
    dropout : float, default=0.3
        Probability of dropping a unit after each hidden layer. The paper has .1.
    activation : callable, default=torch.nn.ReLU
        Makes the module that follows each hidden layer.

    Raises
    ------
    ValueError
        If neither `n_features` nor `input_shape` is given, there is no hidden layer, or a number
        breaks its rule.

    References
    ----------
    .. [1] Y. Gorishniy, A. Kotelnikov, A. Babenko, "TabM: advancing tabular deep learning with
       parameter-efficient ensembling", ICLR 2025, arXiv:2410.24210.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import TabM
    >>> TabM(n_features=5, n_outputs=3, n_members=4)(torch.zeros(2, 5)).shape
    torch.Size([2, 4, 3])
    """

    def __init__(
        self,
        n_outputs: int,
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        n_members: int = 16,
        hidden_units: int | Sequence[int] = (256, 256),
        dropout: float = 0.3,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        if n_features is None:
            if input_shape is None:
                raise ValueError("TabM needs n_features or input_shape. Got neither.")
            n_features = math.prod(input_shape)
        (self.n_members,) = check_widths("n_members", n_members)
        widths = [n_features, *check_widths("hidden_units", hidden_units)]
        if len(widths) == 1:
            raise ValueError(
                "TabM needs a hidden layer, as without one its members are one and the same. Got "
                f"hidden_units={hidden_units!r}."
            )
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            first = not layers
            layers.append(MemberLinear(n_in, n_out, self.n_members, random_signs=first))
            layers.append(make_module("activation", activation))
            layers.append(Dropout(dropout))
        self.trunk = nn.Sequential(*layers)
        self.heads = MemberHeads(widths[-1], n_outputs, self.n_members)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, n_members, n_outputs) of inputs (batch, ...)."""
        return self.heads(self.trunk(x.flatten(1).unsqueeze(1)))
