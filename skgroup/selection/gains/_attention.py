"""The nets of `MTGNet`: masked self-attention among embeddings of tasks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """A stack of nets that read gains off masked self-attention among embeddings of tasks."""

    def __init__(
        self, n_nets: int, n_tasks: int, dim: int, n_layers: int, n_heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout

        def normal(*shape: int, std: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(n_nets, *shape) * std)

        self.embedding = normal(n_tasks, dim, std=1.0)
        self.blocks: Any = nn.ModuleList()
        for _ in range(n_layers):
            block = nn.ParameterDict()
            for name in ("query", "key", "value", "mix"):
                block[name] = normal(dim, dim, std=dim**-0.5)
            block["widen"] = normal(dim, 2 * dim, std=dim**-0.5)
            block["widen_bias"] = nn.Parameter(torch.zeros(n_nets, 1, 2 * dim))
            block["narrow"] = normal(2 * dim, dim, std=(2 * dim) ** -0.5)
            self.blocks.append(block)
        # First predictions are near 0, the gain of a task alone.
        self.head = normal(dim, 1, std=0.1 * dim**-0.5)
        self.head_bias = nn.Parameter(torch.zeros(n_nets, 1, 1))

    def forward(self, masks: Tensor) -> Tensor:
        """Gains (n_nets, n_groups, n_tasks) of groups (n_groups, n_tasks); those of absent
        tasks mean nothing."""
        n_nets, n_tasks, dim = self.embedding.shape
        shape = (n_nets, len(masks), self.n_heads, n_tasks, dim // self.n_heads)
        flat = (n_nets, len(masks) * n_tasks, dim)

        def heads(x: Tensor) -> Tensor:
            split = x.reshape(n_nets, -1, n_tasks, self.n_heads, dim // self.n_heads)
            return split.transpose(2, 3).expand(shape)

        # What enters the first block is the same for all groups and is computed once.
        h: Tensor = self.embedding
        for block in self.blocks:
            query, key, value = (heads(h @ block[name]) for name in ("query", "key", "value"))
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=masks[None, :, None, None]
            )
            joined = attended.transpose(2, 3).reshape(flat) @ block["mix"]
            joined = F.dropout(joined, self.dropout, self.training)
            h = h.reshape(n_nets, -1, n_tasks, dim) + joined.view(*shape[:2], n_tasks, dim)
            h = h.reshape(flat)
            wide = (h @ block["widen"] + block["widen_bias"]).relu()
            h = h + F.dropout(wide @ block["narrow"], self.dropout, self.training)
        return (h @ self.head + self.head_bias).reshape(n_nets, len(masks), n_tasks)
