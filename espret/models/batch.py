"""A batch of clips and their captions, as every network and both tasks see it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from espret.text.tokenizers import PAD


@dataclass
class Batch:
    """B clips and the N captions that go with them (N >= B when a clip comes with several, 0 when decoding).

    `feats` [B, frames, dim] float, zero beyond `lengths` [B]; `tokens` [N, L] with BOS and EOS, PAD beyond;
    `owner` [N]: the row of a caption's clip in this batch; `clip` [B]: the clip's number in its split (the same clip
    may stand in a batch twice, when every pair is an example).
    """

    utts: list[str]
    feats: Tensor
    lengths: Tensor
    tokens: Tensor
    owner: Tensor
    clip: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        moved: dict[str, Any] = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def pad_features(matrices: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Matrices [frames, dim] as ([batch, most frames, dim] with zeros at the ends, frames [batch])."""
    lengths = torch.tensor([len(matrix) for matrix in matrices])
    return torch.nn.utils.rnn.pad_sequence(matrices, batch_first=True), lengths


def pad_tokens(captions: list[list[int]]) -> Tensor:
    """Token lists as [captions, longest], PAD at the ends."""
    longest = max((len(caption) for caption in captions), default=0)
    return (
        torch.tensor([caption + [PAD] * (longest - len(caption)) for caption in captions])
        .view(len(captions), longest)
        .long()
    )


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """[batch, size] bool, True where position < length."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]
