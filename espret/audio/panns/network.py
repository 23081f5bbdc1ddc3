"""PANNs as frozen networks: waveforms at 32 kHz to frames, maps, an embedding or the classes of AudioSet."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from espret.audio.checkpoint import load_network
from espret.audio.network import Extractor, check_rate
from espret.audio.panns.body import CLASSES, Cnn10, Cnn14, Panns, ResNet38
from espret.audio.panns.logmel import HOP, RATE, PannsLogMel


class PannsNetwork(Extractor):
    """A frozen PANN. `checkpoint`: "official", a path, or "random".

    `output`: "frames", the map after the last block averaged over frequency, one every 0.32 s (CNN10: 0.16 s); "map",
    the map itself, frequencies side by side (channel-major, `dim` = channels * bins); "embedding", after `fc1` and
    ReLU, and "clipwise", the probabilities of AudioSet's 527 classes: one frame for the clip.

    A clip shorter than one frame needs (0.31 s; CNN10: 0.15 s) is continued with zeros; the reference fails on it.
    Long recordings are computed in stretches: an hour takes about 1 GB beside the samples and the weights.
    """

    variant: ClassVar[str]
    body_type: ClassVar[type[Panns]]

    def __init__(
        self,
        sample_rate: int,
        checkpoint: str = "official",
        output: Literal["frames", "map", "embedding", "clipwise"] = "frames",
    ) -> None:
        super().__init__()
        self.sample_rate = check_rate(self.variant, sample_rate, RATE)
        self.front = PannsLogMel(RATE)
        self.body, self.provenance = load_network(self.variant, checkpoint, self.body_type)
        self.front.bands = self.body.get_buffer("logmel_extractor.melW")
        self.output = output
        channels = self.body.dim
        self.dim = {"map": channels * self.body.bins, "clipwise": CLASSES}.get(output, channels)
        self.hop_seconds = self.body.pooling * HOP / RATE if output in ("frames", "map") else 0.0
        self.shortest = (self.body.pooling - 1) * HOP  # samples

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        whole = self.front.frames(max(samples, self.shortest)) // self.body.pooling
        return whole if self.output in ("frames", "map") else 1

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, dim] float32."""
        if samples.shape[1] < self.shortest:
            samples = F.pad(samples, (0, self.shortest - samples.shape[1]))
        fmap = self.body(self.front(samples))
        if self.output == "map":
            return fmap.transpose(1, 2).flatten(2).float()
        frames = self.body.frames(fmap)
        if self.output == "frames":
            return frames.float()
        embedding = self.body.embedding(frames)
        found = embedding if self.output == "embedding" else self.body.logits(embedding).float().sigmoid()
        return found[:, None].float()


class Cnn10Network(PannsNetwork):
    """CNN10 and its front end."""

    variant, body_type = "cnn10", Cnn10


class Cnn14Network(PannsNetwork):
    """CNN14 and its front end."""

    variant, body_type = "cnn14", Cnn14


class ResNet38Network(PannsNetwork):
    """ResNet38 and its front end."""

    variant, body_type = "resnet38", ResNet38
