"""Contrastive losses over the similarities of a (global) batch. Which pairs count is said by `Pairs`.

A batch may hold the same clip more than once, or a clip with several captions. `duplicates` says what the caption of
another row of the same clip is to a clip: `negatives` (as in the released code of Mei et al., 2022, whose mask has no
effect), `exclude` (neither; DCASE 2023 baseline) or `multi_positive` (positives; Primus et al., 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Duplicates = Literal["negatives", "exclude", "multi_positive"]


@dataclass
class Pairs:
    """`own` [captions]: the column of each caption's clip; `same` [captions, clips]: True where it is the same clip."""

    own: Tensor
    same: Tensor

    @classmethod
    def of(cls, owner: Tensor, clip: Tensor) -> Pairs:
        """From the row `owner` [captions] of each caption's clip and the clips' numbers `clip` [clips]."""
        return cls(owner, clip.index_select(0, owner)[:, None] == clip[None, :])

    def own_mask(self) -> Tensor:
        """[captions, clips], True in each caption's own column."""
        return torch.arange(self.same.shape[1], device=self.own.device)[None, :] == self.own[:, None]


class NTXent(nn.Module):
    """Normalised temperature-scaled cross entropy, mean of both directions (Chen et al., 2020, eq. 1).

    Both directions average the log-probability over the positive pairs. `temperature` is learned (its logarithm) if
    `learnable`, but kept above 0.01.
    """

    def __init__(
        self, temperature: float = 0.07, learnable: bool = False, duplicates: Duplicates = "multi_positive"
    ) -> None:
        super().__init__()
        self.duplicates = duplicates
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=learnable)

    def forward(self, similarity: Tensor, pairs: Pairs) -> Tensor:
        """Scalar loss of cosine similarities [captions, clips]."""
        logits = similarity / self.log_temperature.exp().clamp(min=0.01)
        positive = pairs.same if self.duplicates == "multi_positive" else pairs.own_mask()
        if self.duplicates == "exclude":
            logits = logits.masked_fill(pairs.same & ~positive, float("-inf"))
        both = logits.log_softmax(dim=1) + logits.log_softmax(dim=0)
        return -0.5 * both.masked_fill(~positive, 0.0).sum() / positive.sum()


class Triplet(nn.Module):
    """Max-margin ranking loss in both directions: over all negatives (`sum`) or the hardest (Faghri et al., 2018).

    Rows of the same clip are never negatives; the sum over captions is divided by their number.
    """

    def __init__(self, margin: float = 0.2, negatives: Literal["sum", "hardest"] = "sum") -> None:
        super().__init__()
        self.margin = margin
        self.negatives = negatives

    def forward(self, similarity: Tensor, pairs: Pairs) -> Tensor:
        """Scalar loss of cosine similarities [captions, clips]."""
        own = similarity.gather(1, pairs.own[:, None])
        to_clips = (self.margin + similarity - own).clamp(min=0).masked_fill(pairs.same, 0.0)
        columns = similarity.index_select(1, pairs.own).T  # [captions, captions]: the caption's clip, every caption
        same = pairs.same.index_select(1, pairs.own).T
        to_captions = (self.margin + columns - own).clamp(min=0).masked_fill(same, 0.0)
        if self.negatives == "hardest":
            return (to_clips.amax(1) + to_captions.amax(1)).mean()
        return (to_clips.sum(1) + to_captions.sum(1)).mean()
