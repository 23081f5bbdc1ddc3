"""Transformer parts that several networks use: sinusoidal positions and attention that can be cached."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Positional encoding [positions, dim] of integer positions (Vaswani et al., 2017, section 3.5); `dim` is even."""
    rates = torch.exp(torch.arange(0, dim, 2, device=positions.device) * (-math.log(10000.0) / dim))
    angles = positions[:, None].float() * rates[None, :]
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class Attention(nn.Module):
    """Multi-head attention in three steps, so that keys and values can be computed once and kept.

    `memory_dim` is the width of what is attended to, when it is not `dim`.
    """

    def __init__(self, dim: int, heads: int, memory_dim: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(memory_dim or dim, dim)
        self.value = nn.Linear(memory_dim or dim, dim)
        self.out = nn.Linear(dim, dim)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [batch, heads, length, dim / heads]

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [batch, heads, length, dim / heads] of `memory` [batch, length, memory_dim]."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def forward(self, x: Tensor, kv: tuple[Tensor, Tensor], mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """`x` [batch, queries, dim] attends to `kv`; `mask` [batch, length] is True where there is something."""
        attended = F.scaled_dot_product_attention(
            self._split(self.query(x)),
            *kv,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.out(attended.transpose(1, 2).flatten(2))
