"""Audio encoders: dumped features [batch, frames, dim] to a shorter sequence of vectors. Pooling is the networks' part.

Padding never changes a clip's vectors in eval mode: what lies beyond a clip's end is set to zero before each
convolution, as a clip that stands alone is padded with zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.errors import EspretError
from espret.models.batch import length_mask


class IdentityEncoder(nn.Module):
    """Features of a frozen network, dumped in stage 1, as they are."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The arguments."""
        return feats, lengths


class ConvBlock(nn.Module):
    """`convs` times 3x3 convolution, batch norm, ReLU; then average pooling (Kong et al., 2020, PANNs, table 1)."""

    def __init__(self, inputs: int, outputs: int, convs: int, pool: tuple[int, int], dropout: float) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * convs
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(convs))
        self.pool = pool
        self.dropout = dropout

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, channels, frames, bins] and frames [batch], both pooled."""
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = F.relu(norm(conv(_cut(x, lengths) if number else x)), inplace=True)
        lengths = lengths // self.pool[0]  # whole windows only, so that pooled frames see nothing beyond the end
        x = _cut(F.avg_pool2d(x, self.pool), lengths)
        return F.dropout(x, self.dropout, self.training), lengths


class ConvEncoder(nn.Module):
    """Convolution blocks on a log-mel spectrogram, as in PANNs' CNN6/10/14 but of any size.

    `channels`: one block each; `convs` convolutions a block; `time_pool` and `mel_pool`: pooling of each block (2 where
    not given). Frequency is averaged at the end (`frequency: mean`), or its rows are kept and projected (`flatten`),
    which keeps absolute pitch apart. Mel bins are normalised over the valid frames by a first batch norm.
    """

    def __init__(
        self,
        dim: int,
        channels: list[int],
        convs: int = 1,
        time_pool: list[int] | None = None,
        mel_pool: list[int] | None = None,
        frequency: str = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        pools = list(zip(time_pool or [2] * len(channels), mel_pool or [2] * len(channels)))
        if len(pools) != len(channels) or frequency not in ("mean", "flatten"):
            raise EspretError(
                "model.audio (conv): time_pool and mel_pool have one number a block, as channels has; "
                f"frequency is mean or flatten; found {time_pool}, {mel_pool}, {channels}, {frequency!r}"
            )
        self.norm = nn.BatchNorm1d(dim)
        widths = [1, *channels]
        self.blocks = nn.ModuleList(
            ConvBlock(a, b, convs, pool, dropout) for a, b, pool in zip(widths, widths[1:], pools)
        )
        self.shortest = 1  # frames; fewer would be pooled away, so they are padded to this
        bins = dim
        for time, mel in pools:
            self.shortest, bins = self.shortest * time, bins // mel
        if bins < 1:
            raise EspretError(f"model.audio (conv): mel_pool {mel_pool} leaves nothing of {dim} bins")
        self.dim = channels[-1]
        # A quarter less time on CPU; what is computed from these weights has the same layout.
        self.blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.flatten = nn.Linear(bins * channels[-1], self.dim) if frequency == "flatten" else None

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, frames, dim] -> [batch, frames / product of time_pool, channels[-1]], and the new lengths [batch]."""
        if feats.shape[1] < self.shortest:
            feats = F.pad(feats, (0, 0, 0, self.shortest - feats.shape[1]))
        frames = feats.flatten(0, 1)
        # Numbers, not a mask: a GPU has to be waited for once, here, and not again in the backward pass.
        valid = length_mask(lengths, feats.shape[1]).flatten().nonzero()[:, 0]
        x = torch.zeros_like(frames).index_copy(0, valid, self.norm(frames[valid])).view_as(feats)[:, None]
        lengths = lengths.clamp(min=self.shortest)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        if self.flatten is None:
            return x.mean(dim=3).transpose(1, 2), lengths
        x = F.relu(self.flatten(x.transpose(1, 2).flatten(2)))
        return x * length_mask(lengths, x.shape[1])[..., None], lengths


def _cut(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` [batch, channels, frames, bins] with zeros beyond each clip's length."""
    return x * length_mask(lengths, x.shape[2])[:, None, :, None]
