"""PaSST as a frozen network: waveforms in segments of 10 or 20 seconds to vectors, tokens or classes.

Segments are those of Primus et al., 2023 (OptimusPrimus/dcase2023_task6b).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from espret.audio.checkpoint import load_network
from espret.audio.network import Extractor, heard_by_length
from espret.audio.passt.body import CLASSES, PATCH, WIDTH, Passt
from espret.audio.passt.mel import HOP, RATE, PasstMel

AT_A_TIME = {"cpu": 8, "cuda": 64}  # segments in the network at a time: bounds memory, to about 0.5 and 4 GB


class PasstNetwork(Extractor):
    """A frozen PaSST over non-overlapping segments of 10 s (20 s for S20), of which the last is padded with zeros.

    `output`: "segments", a vector of 768 each; "embedding", their mean (one frame); "logits" of AudioSet's 527 classes,
    averaged over the segments (one frame); "frames", the tokens averaged over frequency, 0.1 s apart (0.16 s for N),
    99 (62, 199) a segment; of a padded segment only those that lie within the clip, but at least one.
    `weighted`: average segments by their share of the clip instead of equally, as the reference does. `pad: false`
    leaves the last segment as short as it is, but at least one patch long (0.15 s). However long a clip is, it takes
    0.5 GB on a CPU beside its samples and what comes out.
    """

    variant: ClassVar[str]

    def __init__(
        self,
        sample_rate: int,
        checkpoint: str = "official",
        output: Literal["segments", "embedding", "logits", "frames"] = "segments",
        weighted: bool = False,
        pad: bool = True,
    ) -> None:
        super().__init__()
        self.front = PasstMel(sample_rate)
        self.body, self.provenance = load_network(self.variant, checkpoint, partial(Passt, self.variant))
        self.sample_rate, self.output, self.weighted, self.pad = sample_rate, output, weighted, pad
        size = self.body.variant
        self.segment = size.seconds * RATE
        self.dim = CLASSES if output == "logits" else WIDTH
        self.hop_seconds = {"segments": float(size.seconds), "frames": size.stride * HOP / RATE}.get(output, 0.0)

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        whole, rest = divmod(samples, self.segment)
        if self.output == "frames":
            return whole * self._columns(self.segment) + (self._columns(rest) if rest else 0)
        return whole + bool(rest) if self.output == "segments" else 1

    def _columns(self, samples: int) -> int:
        return max(1, self.body.variant.columns(self.front.frames(samples)))

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> [batch, frames, dim]."""
        return torch.stack(self.extract(list(samples)))

    def extract(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """The frames [frames, dim] of clips [samples]; segments of all go through the network together, a bounded
        number at a time."""
        cut = [self._cut(clip) for clip in clips]
        heard = iter(self._hear([segment for segments in cut for segment in segments]))
        return [self._join([next(heard) for _ in segments], len(clip)) for clip, segments in zip(clips, cut)]

    def _cut(self, clip: Tensor) -> list[Tensor]:
        *whole, last = clip.split(self.segment)
        shortest = self.segment if self.pad else (PATCH - 1) * HOP + 1
        return [*whole, F.pad(last, (0, max(0, shortest - len(last))))]

    def _hear(self, segments: list[Tensor]) -> list[Tensor]:
        """What the network makes of each segment [samples]: [frames, dim]."""
        at_a_time = AT_A_TIME.get(segments[0].device.type, 8)
        return heard_by_length(segments, lambda some: self._output(torch.stack(some)), at_a_time)

    def _output(self, segments: Tensor) -> Tensor:
        """[batch, samples] -> [batch, frames, dim]."""
        mel = self.front(segments)
        if self.output == "frames":
            return self.body(mel).patches.mean(1)
        embedding = self.body.embedding(mel)
        return (self.body.logits(embedding) if self.output == "logits" else embedding)[:, None].float()

    def _join(self, heard: list[Tensor], samples: int) -> Tensor:
        """[frames, dim] of a clip from those of its segments."""
        frames = torch.cat(heard)
        if self.output in ("segments", "frames"):
            return frames[: self.frames(samples)]
        if not self.weighted:
            return frames.mean(0, keepdim=True)
        starts = torch.arange(0, samples, self.segment, device=frames.device)
        weights = (samples - starts).clamp(max=self.segment) / samples
        return weights[None] @ frames


class PasstN(PasstNetwork):
    """PaSST-N: patches that do not overlap."""

    variant = "passt_n"


class PasstS(PasstNetwork):
    """PaSST-S: patches 10 frames and bands apart."""

    variant = "passt_s"


class PasstL(PasstNetwork):
    """PaSST-L: 7 blocks only."""

    variant = "passt_l"


class PasstS20(PasstNetwork):
    """PaSST-S trained on 20 s; of its 200 positions a segment uses 199."""

    variant = "passt_s20"
