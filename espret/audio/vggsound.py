"""VGGSound's ResNet18s, H (average pooling) and I (NetVLAD): 512 values every 0.318 s, or scores of 309 classes a clip.

Their front end is in `espret.audio.vggsound_spectrogram`.
Sources: Chen et al., "VGGSound: a large-scale audio-visual dataset", ICASSP 2020; hche11/VGGSound on GitHub.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.checkpoint import load_network
from espret.audio.fused import run_fused
from espret.audio.network import Extractor, check_rate
from espret.audio.vggsound_spectrogram import HOP, RATE, VggSoundSpectrogram

DIM, CLASSES, CLUSTERS = 512, 309, 16
STRIDE = 32  # frames of the spectrogram a token
REACH = 7 * STRIDE  # frames of the spectrogram before and after its own that a token hears (217), in whole tokens
STRETCH = 256 * STRIDE  # frames of the spectrogram that go through the network at a time

Pooling = Literal["average", "netvlad"]


class Block(nn.Module):
    """Two convolutions of 3 x 3 and what goes past them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, height, width] -> [batch, outputs, height / stride, width / stride], rounded up."""
        past = x if self.downsample is None else run_fused(self.downsample, x)
        return F.relu_(run_fused([self.conv1, self.bn1, self.relu, self.conv2, self.bn2], x).add_(past))


class NetVlad(nn.Module):
    """A map as what the unit vectors at its points differ from 16 centroids by, all of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(DIM, CLUSTERS, 1)
        self.centroids = nn.Parameter(torch.rand(CLUSTERS, DIM))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 512, height, width] -> [batch, 16 * 512]."""
        x = F.normalize(x, dim=1)
        shares = self.conv(x).flatten(2).softmax(dim=1)
        sums = shares @ x.flatten(2).transpose(1, 2) - shares.sum(dim=2, keepdim=True) * self.centroids
        return F.normalize(F.normalize(sums, dim=2).flatten(1), dim=1)


class VggSoundResNet(nn.Module):
    """The network behind the front end; its state dict has the keys of `H.pth.tar` (average) or `I.pth.tar` (netvlad),
    which begin with `audnet.` there.

    In eval mode long spectrograms go through it in stretches that overlap, which gives the same.
    """

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = 64
        for number, outputs in enumerate((64, 128, 256, DIM), 1):
            blocks = Block(inputs, outputs, 1 if number == 1 else 2), Block(outputs, outputs, 1)
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inputs = outputs
        if pooling == "average":
            self.avgpool: nn.Module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.fc = nn.Linear(DIM, CLASSES)
        else:
            self.avgpool = NetVlad()
            self.fc_ = nn.Linear(CLUSTERS * DIM, CLASSES)
        self.pooling = pooling
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, spectrogram: Tensor) -> Tensor:
        """[batch, frames, 257] -> the last map [batch, 512, 9, tokens], a token for 32 frames or a part of them."""
        count = spectrogram.shape[1]
        if self.training or count <= STRETCH + REACH:
            return self._layers(spectrogram)
        return torch.cat([self._part(spectrogram, first) for first in range(0, count, STRETCH)], dim=3)

    def _part(self, spectrogram: Tensor, first: int) -> Tensor:
        """The map of frames first..first+STRETCH-1, from these and those that they hear."""
        begin = max(0, first - REACH)
        found = self._layers(spectrogram[:, begin : first + STRETCH + REACH])
        return found[..., (first - begin) // STRIDE :][..., : STRETCH // STRIDE]

    def _layers(self, spectrogram: Tensor) -> Tensor:
        x = spectrogram.transpose(1, 2)[:, None]
        x = self.maxpool(run_fused([self.conv1, self.bn1, self.relu], x))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x

    def frames(self, fmap: Tensor) -> Tensor:
        """[batch, 512, 9, tokens] -> [batch, tokens, 512], the mean over frequency."""
        return fmap.mean(dim=2).transpose(1, 2)

    def embedding(self, fmap: Tensor) -> Tensor:
        """[batch, 512, 9, tokens] -> [batch, 512], or of NetVLAD [batch, 8192]."""
        found: Tensor = self.avgpool(fmap)
        return found

    def logits(self, embedding: Tensor) -> Tensor:
        """[batch, 512 or 8192] -> [batch, 309], before the softmax."""
        scores: Tensor = (self.fc if self.pooling == "average" else self.fc_)(embedding)
        return scores


class VggSoundBody(nn.Module):
    """The network as the official files have it, where every key begins with `audnet.`."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.audnet = VggSoundResNet(pooling)


class VggSound(Extractor):
    """A frozen ResNet18 of VGGSound. `checkpoint`: "official", a path, or "random".

    `output`: "frames", the last map averaged over frequency, one every 0.318 s (10 s: 32, 30 s: 95); "embedding", what
    its pooling makes of the map, and "logits" of its 309 classes: one frame for the clip. `clip_seconds`, 10 or 0, is
    that of `VggSoundSpectrogram`; None: 0 for frames, and 10 for the others, as the classifiers heard clips.

    Memory: an hour takes about 1.6 GB beside the weights.
    """

    variant: ClassVar[str]
    pooling: ClassVar[Pooling]

    def __init__(
        self,
        sample_rate: int,
        checkpoint: str = "official",
        output: Literal["frames", "embedding", "logits"] = "frames",
        clip_seconds: Literal[0, 10] | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate = check_rate(self.variant, sample_rate, RATE)
        if clip_seconds is None:
            clip_seconds = 0 if output == "frames" else 10
        self.front = VggSoundSpectrogram(RATE, clip_seconds)
        self.body, self.provenance = load_network(self.variant, checkpoint, partial(VggSoundBody, self.pooling))
        self.output = output
        pooled = DIM if self.pooling == "average" else CLUSTERS * DIM
        self.dim = {"frames": DIM, "embedding": pooled, "logits": CLASSES}[output]
        self.hop_seconds = STRIDE * HOP / RATE if output == "frames" else 0.0

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return -(-self.front.frames(samples) // STRIDE) if self.output == "frames" else 1

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, dim] float32."""
        fmap = self.body.audnet(self.front(samples))
        if self.output == "frames":
            return self.body.audnet.frames(fmap).float()
        embedding = self.body.audnet.embedding(fmap)
        found = embedding if self.output == "embedding" else self.body.audnet.logits(embedding)
        return found[:, None].float()


class VggSoundH(VggSound):
    """Model H: the mean of the map."""

    variant, pooling = "vggsound_h", "average"


class VggSoundI(VggSound):
    """Model I: NetVLAD."""

    variant, pooling = "vggsound_i", "netvlad"
