"""The nets of `MTGNet`: masked self-attention among embeddings of tasks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: What the authors of MTG-Net divide attention logits by, beside the root of the width.
_TEMPERATURE = 0.2


class Attention(nn.Module):
    """A stack of nets that read gains off masked self-attention among embeddings of tasks.

    With `published`, each is the network of MTG-Net's authors (of their code with one head and
    as dropout is applied there, which is nowhere): biases in every linear map, a perceptron as
    wide as the embedding, a temperature, and layer normalisation after each residual branch.
    """

    def __init__(
        self,
        n_nets: int,
        n_tasks: int,
        dim: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        *,
        published: bool = False,
    ) -> None:
        super().__init__()
        self.n_heads, self.dropout, self.published = n_heads, dropout, published

        def normal(*shape: int, std: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(n_nets, *shape) * std)

        def linear(n_out: int) -> tuple[nn.Parameter, nn.Parameter]:
            """Weights and biases of a map from `dim` numbers, as `torch.nn.Linear` starts them."""
            weight, bias = torch.empty(n_nets, dim, n_out), torch.empty(n_nets, 1, n_out)
            for p in (weight, bias):
                p.uniform_(-(dim**-0.5), dim**-0.5)
            return nn.Parameter(weight), nn.Parameter(bias)

        self.embedding = normal(n_tasks, dim, std=1.0)
        self.blocks: Any = nn.ModuleList()
        for _ in range(n_layers):
            block = nn.ParameterDict()
            if published:
                for name in ("query", "key", "value", "mix", "widen", "narrow"):
                    block[name], block[f"{name}_bias"] = linear(dim)
                for branch in ("mix", "narrow"):
                    block[f"{branch}_norm"] = nn.Parameter(torch.ones(n_nets, 1, dim))
                    block[f"{branch}_norm_bias"] = nn.Parameter(torch.zeros(n_nets, 1, dim))
            else:
                for name in ("query", "key", "value", "mix"):
                    block[name] = normal(dim, dim, std=dim**-0.5)
                block["widen"] = normal(dim, 2 * dim, std=dim**-0.5)
                block["widen_bias"] = nn.Parameter(torch.zeros(n_nets, 1, 2 * dim))
                block["narrow"] = normal(2 * dim, dim, std=(2 * dim) ** -0.5)
            self.blocks.append(block)
        if published:
            self.head, self.head_bias = linear(1)
        else:
            # First predictions are near 0, the gain of a task alone.
            self.head = normal(dim, 1, std=0.1 * dim**-0.5)
            self.head_bias = nn.Parameter(torch.zeros(n_nets, 1, 1))

    def forward(self, masks: Tensor) -> Tensor:
        """Gains (n_nets, n_groups, n_tasks) of groups (n_groups, n_tasks); those of absent
        tasks mean nothing."""
        n_nets, n_tasks, dim = self.embedding.shape
        shape = (n_nets, len(masks), self.n_heads, n_tasks, dim // self.n_heads)
        flat = (n_nets, len(masks) * n_tasks, dim)
        sharpness = 1 / _TEMPERATURE if self.published else 1.0

        def heads(x: Tensor) -> Tensor:
            split = x.reshape(n_nets, -1, n_tasks, self.n_heads, dim // self.n_heads)
            return split.transpose(2, 3).expand(shape)

        # What enters the first block is the same for all groups and is computed once.
        h: Tensor = self.embedding
        for block in self.blocks:
            query, key, value = (heads(_map(block, name, h)) for name in ("query", "key", "value"))
            attended = F.scaled_dot_product_attention(
                query * sharpness, key, value, attn_mask=masks[None, :, None, None]
            )
            joined = _map(block, "mix", attended.transpose(2, 3).reshape(flat))
            h = h.reshape(n_nets, -1, n_tasks, dim).expand(*shape[:2], n_tasks, dim).reshape(flat)
            h = self._add(block, "mix", h, joined)
            wide = _map(block, "widen", h).relu()
            h = self._add(block, "narrow", h, _map(block, "narrow", wide))
        return (h @ self.head + self.head_bias).reshape(n_nets, len(masks), n_tasks)

    def _add(self, block: Any, branch: str, h: Tensor, change: Tensor) -> Tensor:
        """What a residual branch makes of `h`."""
        h = h + F.dropout(change, self.dropout, self.training)
        if not self.published:
            return h
        normed = F.layer_norm(h, h.shape[-1:])
        return normed * block[f"{branch}_norm"] + block[f"{branch}_norm_bias"]


def _map(block: Any, name: str, x: Tensor) -> Tensor:
    """A linear map, with its bias if it has one."""
    mapped: Tensor = x @ block[name]
    return mapped + block[f"{name}_bias"] if f"{name}_bias" in block else mapped
