"""A batch of clips and their captions, as every network and both tasks see it."""

from __future__ import annotations

from collections.abc import Callable
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
        """The batch on `device`. Of a `pinned` one nobody waits for the copy."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The batch in memory that a GPU copies from by itself."""
        return self._each(lambda value: value if value.is_pinned() else value.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **changed)

    def parts(self, count: int) -> list[Batch]:
        """The batch as `count` batches of near-equal numbers of clips, in order, padded no more than they need.

        Captions must be in the order of their clips.
        """
        bounds = [len(self.utts) * number // count for number in range(count + 1)]
        captions = torch.searchsorted(self.owner, torch.tensor(bounds, device=self.owner.device)).tolist()
        return [
            self._part(slice(*rows), slice(*lines))
            for rows, lines in zip(zip(bounds, bounds[1:]), zip(captions, captions[1:]))
        ]

    def _part(self, rows: slice, captions: slice) -> Batch:
        lengths, tokens = self.lengths[rows], self.tokens[captions]
        return Batch(
            utts=self.utts[rows],
            feats=self.feats[rows, : int(lengths.max())],
            lengths=lengths,
            tokens=tokens[:, : int((tokens != PAD).sum(1).max())],
            owner=self.owner[captions] - rows.start,
            clip=self.clip[rows],
        )


def pad_features(matrices: list[Tensor], pinned: bool = False) -> tuple[Tensor, Tensor]:
    """Matrices [frames, dim] as ([batch, most frames, dim] float32 with zeros at the ends, frames [batch]).

    `pinned`: in memory that a GPU copies from by itself.
    """
    lengths = torch.tensor([len(matrix) for matrix in matrices])
    feats = torch.empty(len(matrices), int(lengths.max()), matrices[0].shape[1], pin_memory=pinned)
    # NumPy copies without threads of its own: torch would start some for every thread that reads ahead.
    for row, matrix in zip(feats.numpy(), matrices):
        row[: len(matrix)] = matrix.numpy()
        row[len(matrix) :] = 0
    return feats, lengths


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
