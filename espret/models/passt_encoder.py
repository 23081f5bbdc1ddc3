"""PaSST as a trainable audio encoder of dumped spectrograms. The transformer is that of `espret.audio.passt.body`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.checkpoint import load_network
from espret.audio.passt.body import WIDTH, Passt
from espret.audio.passt.mel import BANDS, HOP, RATE, SILENCE, Masks, mask_stripes
from espret.errors import EspretError
from espret.models.batch import length_mask


class PasstEncoder(nn.Module):
    """Segments of 10 s (S20: 20 s) of a `passt_mel` spectrogram, each heard by PaSST by itself (Primus et al., 2023).

    The last segment of a clip is padded with silence, and counts like the others where a network averages them. (With
    the front end's `segment_seconds` set to the segment, spectrograms are at its ends too what the reference makes;
    without, lengths are those of the clips.)
    `output`: "segments", one vector each; "frames", the patch tokens averaged over frequency, those within the clip.
    In train mode, `patchout_f` rows and `patchout_t` columns of patches are left out (in the paper 2 and 15 for N,
    3 or 4 and 50 for S and L), and segments are masked as `PasstMel` says (`freqm`, `timem`, `masks`).
    """

    def __init__(
        self,
        dim: int,
        variant: Literal["passt_n", "passt_s", "passt_l", "passt_s20"],
        checkpoint: str,
        output: Literal["segments", "frames"] = "segments",
        patchout_f: int = 0,
        patchout_t: int = 0,
        dropout: float = 0.0,
        freqm: int = 48,
        timem: int = 192,
        masks: Masks = "clip",
    ) -> None:
        super().__init__()
        if dim != BANDS:
            raise EspretError(f"model.audio (passt): features of {dim} values; expected {BANDS}: frontend passt_mel")
        self.dim, self.output = WIDTH, output
        self.freqm, self.timem, self.masks = freqm, timem, masks
        make = partial(Passt, variant, patchout_f, patchout_t, dropout)
        self.body, self.provenance = load_network(variant, checkpoint, make)
        self.body.head.requires_grad_(False)  # not asked here: distributed training would wait for their gradients
        self.body.head_dist.requires_grad_(False)
        self.segment = self.body.variant.seconds * RATE // HOP  # frames

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, frames, 128] -> [batch, segments or frames of them, 768], and the new lengths [batch]."""
        feats = feats.masked_fill(~length_mask(lengths, feats.shape[1])[..., None], SILENCE)
        feats = F.pad(feats, (0, 0, 0, -feats.shape[1] % self.segment), value=SILENCE)
        segments = feats.unflatten(1, (-1, self.segment))
        starts = self.segment * torch.arange(segments.shape[1], device=feats.device)
        left = lengths.clamp(min=1)[:, None] - starts  # [batch, segments]: frames from a segment's start to the end
        # Numbers, not a mask: a GPU has to be waited for once, here, and not again after the transformer.
        heard = (left > 0).flatten().nonzero()[:, 0]
        mel = segments.flatten(0, 1)[heard]
        if self.training:
            mel = mask_stripes(mel, self.freqm, self.timem, self.masks)
        if self.output == "segments":
            vectors, valid = self.body.embedding(mel)[:, None], (left > 0)[..., None]
        else:
            tokens = self.body(mel)
            vectors, valid = tokens.patches.mean(1), self._within(left, tokens.kept)
        x = vectors.new_zeros(left.numel(), *vectors.shape[1:]).index_copy(0, heard, vectors)
        return (x.unflatten(0, left.shape) * valid[..., None]).flatten(1, 2), valid.sum((1, 2))

    def _within(self, left: Tensor, kept: Tensor) -> Tensor:
        """[batch, segments, columns], whether a column of those `kept` lies within the clip (the first one always)."""
        columns = self.body.variant.columns(left).clamp(min=1)
        within = (kept < columns[..., None]) & (left > 0)[..., None]
        within[:, 0, 0] = True
        return within
