"""Poolings of a clip's frames to one vector. Those that look at the caption belong to pairwise networks, not here."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def masked_mean(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid frames: [batch, frames, dim], [batch, frames] -> [batch, dim]."""
    weights = mask[..., None].to(frames.dtype)
    return (frames * weights).sum(1) / weights.sum(1).clamp(min=1)


def masked_max(frames: Tensor, mask: Tensor) -> Tensor:
    """Maximum over the valid frames: [batch, frames, dim], [batch, frames] -> [batch, dim]."""
    return frames.masked_fill(~mask[..., None], torch.finfo(frames.dtype).min).amax(1)


class MeanPooling(nn.Module):
    """Mean over time."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[batch, frames, dim] -> [batch, dim]."""
        return masked_mean(frames, mask)


class MaxPooling(MeanPooling):
    """Maximum over time."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[batch, frames, dim] -> [batch, dim]."""
        return masked_max(frames, mask)


class MeanMaxPooling(MeanPooling):
    """Mean plus maximum over time (PANNs; "MeanMax" of Mei et al., 2022)."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[batch, frames, dim] -> [batch, dim]."""
        return masked_mean(frames, mask) + masked_max(frames, mask)


class AttentionPooling(MeanPooling):
    """Weighted mean over time, weights by a learned softmax score of each frame and head of the channels."""

    def __init__(self, dim: int, heads: int = 1) -> None:
        super().__init__(dim)
        self.score = nn.Linear(dim, heads)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[batch, frames, dim] -> [batch, dim]."""
        scores = self.score(frames).masked_fill(~mask[..., None], float("-inf")).softmax(dim=1)
        parts = frames.unflatten(2, (scores.shape[2], -1))
        return (scores[..., None] * parts).sum(1).flatten(1)
