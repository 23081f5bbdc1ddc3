"""Adapters between an audio encoder and a caption decoder (Weck et al., 2021, section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from espret.models.layers import sinusoids


class IdentityAdapter(nn.Module):
    """The encoder's sequence as it is; the decoder's cross-attention takes its width."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dim = inputs

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The argument."""
        return x


class MLPAdapter(nn.Module):
    """Two layers with ReLU between, shared over time; then a layer norm if `norm` is set (not in the paper)."""

    def __init__(
        self, inputs: int, dim: int = 128, hidden: int = 256, dropout: float = 0.0, norm: bool = False
    ) -> None:
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.LayerNorm(dim) if norm else nn.Identity(),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[batch, length, inputs] -> [batch, length, dim]."""
        return self.layers(x)


class MHAAdapter(nn.Module):
    """Linear reduction, sinusoidal positions, Transformer encoder layers (post-norm)."""

    def __init__(
        self, inputs: int, dim: int = 128, heads: int = 4, feedforward: int = 128, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dim = dim
        self.reduce = nn.Linear(inputs, dim)
        layer = nn.TransformerEncoderLayer(dim, heads, feedforward, dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[batch, length, inputs], [batch, length] -> [batch, length, dim]."""
        x = self.reduce(x) + sinusoids(torch.arange(x.shape[1], device=x.device), self.dim)
        return self.layers(x, src_key_padding_mask=~mask)
