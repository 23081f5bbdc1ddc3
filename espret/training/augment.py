"""Augmentations of dumped features. They draw from torch's generator, which the loop seeds by epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from espret.models.batch import length_mask


class SpecAugment:
    """Masks in time and frequency (Park et al., 2019), drawn for each clip; masked values become the clip's mean.

    Widths are drawn uniformly from 0 to the maximum, in frames and feature dimensions.
    """

    def __init__(self, time_masks: int = 2, time_width: int = 20, mel_masks: int = 2, mel_width: int = 8) -> None:
        self.time_masks = time_masks
        self.time_width = time_width
        self.mel_masks = mel_masks
        self.mel_width = mel_width

    def __call__(self, feats: Tensor, lengths: Tensor) -> Tensor:
        """[batch, frames, dim] -> the same shape."""
        valid = length_mask(lengths, feats.shape[1])[..., None]
        mean = (feats * valid).sum((1, 2)) / (lengths * feats.shape[2]).clamp(min=1)
        frames = stripes(lengths, feats.shape[1], self.time_masks, self.time_width)[:, :, None]
        bins = torch.full_like(lengths, feats.shape[2])
        mels = stripes(bins, feats.shape[2], self.mel_masks, self.mel_width)[:, None, :]
        return torch.where((frames | mels) & valid, mean[:, None, None], feats)


class Gain:
    """Adds to log features a constant drawn for each clip between -`spread` and `spread` (in the features' units)."""

    def __init__(self, spread: float = 1.0) -> None:
        self.spread = spread

    def __call__(self, feats: Tensor, lengths: Tensor) -> Tensor:
        """[batch, frames, dim] -> the same shape; what lies beyond a clip's end stays zero."""
        valid = length_mask(lengths, feats.shape[1])[..., None]
        gain = (2 * torch.rand(len(feats), 1, 1, device=feats.device) - 1) * self.spread
        return feats + gain * valid


def stripes(lengths: Tensor, size: int, masks: int, width: int) -> Tensor:
    """[batch, size] bool: the union of `masks` stripes of width up to `width`, within each length."""
    shape = (len(lengths), masks)
    widths = (torch.rand(shape, device=lengths.device) * (width + 1)).floor()
    starts = (torch.rand(shape, device=lengths.device) * (lengths[:, None] - widths).clamp(min=0)).floor()
    place = torch.arange(size, device=lengths.device)[None, None, :]
    return ((place >= starts[..., None]) & (place < (starts + widths)[..., None])).any(1)
