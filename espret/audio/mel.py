"""Banks of mel bands, triangles over the lines of a spectrum, in double precision: Slaney's and HTK's.

Single precision, which torchaudio computes in, is off by up to 2e-3 of a weight where it is small.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["slaney", "htk"]


def slaney_bands(
    rate: int, size: int, bands: int, low: float, high: float, scale: Scale = "slaney", equal_area: bool = True
) -> Tensor:
    """[size // 2 + 1, bands] float64: as librosa makes them, straight in Hz, of equal area, or else of height 1.

    For the spectrum of `size` samples at `rate` Hz; corners lie between `low` and `high` Hz, evenly on Slaney's scale,
    or on HTK's.
    """
    to_mel, to_hertz = (_slaney, _slaney_hertz) if scale == "slaney" else (_htk, _htk_hertz)
    corners = to_hertz(_evenly(to_mel, bands + 2, low, high))
    triangles = _triangles(_lines(rate, size), corners)
    return triangles * (2 / (corners[2:] - corners[:-2])) if equal_area else triangles


def htk_bands(rate: int, size: int, bands: int, low: float, high: float) -> Tensor:
    """[size // 2 + 1, bands] float64: as HTK, Kaldi and TensorFlow make them, straight on HTK's scale, of height 1.

    For the spectrum of `size` samples at `rate` Hz; corners lie evenly on that scale between `low` and `high` Hz.
    """
    return _triangles(_htk(_lines(rate, size)), _evenly(_htk, bands + 2, low, high))


def _lines(rate: int, size: int) -> Tensor:
    """Frequencies of a spectrum's lines in Hz."""
    return torch.arange(size // 2 + 1, dtype=torch.float64) * (rate / size)


def _evenly(to_mel: Callable[[Tensor], Tensor], count: int, low: float, high: float) -> Tensor:
    """Numbers from `low` to `high` Hz on a mel scale, at equal distances."""
    first, last = to_mel(torch.tensor([low, high], dtype=torch.float64))
    return first + (last - first) * torch.linspace(0, 1, count, dtype=torch.float64)


def _triangles(lines: Tensor, corners: Tensor) -> Tensor:
    """[lines, corners - 2]: from 0 at a corner to 1 at the next and to 0 at the one after it."""
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    lines = lines[:, None]
    return torch.minimum((lines - low) / (centre - low), (high - lines) / (high - centre)).clamp(min=0)


def _htk(hertz: Tensor) -> Tensor:
    return 1127 * torch.log1p(hertz / 700)


def _htk_hertz(mels: Tensor) -> Tensor:
    return 700 * torch.expm1(mels / 1127)


# Slaney's scale: 200/3 Hz a mel up to 1 kHz (15 mel), above it 27 mel for a factor of 6.4.
def _slaney(hertz: Tensor) -> Tensor:
    return torch.where(hertz < 1000, 3 * hertz / 200, 15 + 27 * torch.log(hertz / 1000) / math.log(6.4))


def _slaney_hertz(mels: Tensor) -> Tensor:
    return torch.where(mels < 15, 200 * mels / 3, 1000 * 6.4 ** ((mels - 15) / 27))
