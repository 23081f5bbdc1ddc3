"""VGGSound's ResNet18s, H (average pooling) and I (NetVLAD): 512 values every 0.318 s, or scores of 309 classes a clip.

Sources: Chen et al., "VGGSound: a large-scale audio-visual dataset", ICASSP 2020; hche11/VGGSound on GitHub. Here: the
front end, the network behind it, and both together as frozen networks.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.checkpoint import checkpoint_path, load_checkpoint
from espret.audio.fused import run_fused
from espret.audio.network import Extractor, check_rate

RATE, WINDOW, HOP = 16000, 512, 159  # Hz; samples
LINES = WINDOW // 2 + 1
TAPER = 64  # samples of the window's slope on either side: Tukey's window with a quarter of cosine
FLOOR = 1e-7  # power density below which nothing is told apart
EPSILON = 1e-9  # added to the deviation
REPEATS, SECONDS = 10, 10  # short clips are repeated ten times at most, up to ten seconds
FRAMES = 1 << 10  # spectra computed at a time: bounds memory for long recordings, and stays in a CPU's cache

DIM, CLASSES, CLUSTERS = 512, 309, 16
STRIDE = 32  # frames of the spectrogram a token
REACH = 7 * STRIDE  # frames of the spectrogram before and after its own that a token hears (217), in whole tokens
STRETCH = 256 * STRIDE  # frames of the spectrogram that go through the network at a time

Pooling = Literal["average", "netvlad"]


class VggSoundSpectrogram(Extractor):
    """Log power densities of 257 lines every 9.9 ms (100.6 a second), of mean 0 and deviation 1 over the clip.

    ln(density + 1e-7) as scipy.signal.spectrogram has the density: Tukey windows (0.25) of 512 samples, every 159, each
    freed of its mean. Clips are repeated, ten times at most and up to 10 s, and clipped to -1..1. `clip_seconds`: 10 cuts
    them to their first 10 s, as the classifiers were trained; 0 leaves longer ones whole. A clip shorter than 52 samples,
    of which ten do not make one window, is repeated until they do (the reference fails, or takes a smaller window).

    Computed in double precision, without which nearly silent clips become noise; digital silence becomes zeros.
    """

    def __init__(self, sample_rate: int, clip_seconds: Literal[0, 10] = 10) -> None:
        super().__init__()
        self.sample_rate = check_rate("vggsound_spectrogram", sample_rate, RATE)
        self.dim, self.hop_seconds, self.clip_seconds = LINES, HOP / RATE, clip_seconds
        window = tukey()
        # One-sided: each line but the first and the last stands for two.
        sides = torch.full((LINES,), 2.0, dtype=torch.float64)
        sides[[0, -1]] = 1.0
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("scale", sides / (RATE * window.square().sum() * FLOOR), persistent=False)
        self.window: Tensor
        self.scale: Tensor

    def repeated(self, samples: int) -> int:
        """Samples that are heard of a clip of `samples`."""
        full = SECONDS * RATE
        if samples >= full:
            return full if self.clip_seconds else samples
        return max(WINDOW, min(REPEATS * samples, full))

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return 1 + (self.repeated(samples) - WINDOW) // HOP

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, 257] float32."""
        count, length = self.frames(samples.shape[1]), self.repeated(samples.shape[1])
        if length > samples.shape[1]:
            samples = samples.repeat(1, -(-length // samples.shape[1]))
        windows = samples[:, :length].clamp(-1, 1).unfold(1, WINDOW, HOP)
        step = max(1, FRAMES // len(samples))
        with torch.autocast(samples.device.type, enabled=False):
            logs = torch.empty(len(samples), count, LINES, dtype=torch.float64, device=samples.device)
            for first in range(0, count, step):
                logs[:, first : first + step] = self._part(windows[:, first : first + step])
            logs -= logs.mean(dim=(1, 2), keepdim=True)
            deviation = torch.linalg.vector_norm(logs, dim=(1, 2), keepdim=True) / math.sqrt(count * LINES)
            return logs.div_(deviation + EPSILON).float()

    def _part(self, windows: Tensor) -> Tensor:
        """[batch, frames, 512] -> [batch, frames, 257] float64: ln(1 + density / floor), 0 for silence."""
        windows = windows.to(torch.float64, copy=True)
        windows.sub_(windows.mean(dim=2, keepdim=True)).mul_(self.window)
        spectra = torch.fft.rfft(windows)
        return spectra.real.square().addcmul_(spectra.imag, spectra.imag).mul_(self.scale).log1p_()


def tukey() -> Tensor:
    """[512] float64: Tukey's window, periodic: a slope of half a cosine at its beginning, as before its repetition."""
    window = torch.ones(WINDOW, dtype=torch.float64)
    slope = torch.arange(TAPER, dtype=torch.float64) / TAPER
    window[:TAPER] = 0.5 - 0.5 * torch.cos(torch.pi * slope)
    window[WINDOW - TAPER + 1 :] = window[1:TAPER].flip(0)
    return window


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
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

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


class VggSound(Extractor):
    """A frozen ResNet18 of VGGSound. `checkpoint`: "official", a path, or "random".

    `output`: "frames", the last map averaged over frequency, one every 0.318 s (10 s: 32, 30 s: 95); "embedding", what
    its pooling makes of the map, and "logits" of 309 classes (to which VGGSound's are numbered in the repository): one
    frame for the clip. `clip_seconds`: 10, as the classifiers were trained, or 0, as `VggSoundSpectrogram` says; not
    given, 0 for frames and 10 for the others.

    Its state dict has the keys of the official file. Memory: an hour takes about 2.5 GB.
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
        path = checkpoint_path(self.variant, checkpoint)
        if clip_seconds is None:
            clip_seconds = 0 if output == "frames" else 10
        self.front = VggSoundSpectrogram(RATE, clip_seconds)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.audnet = VggSoundResNet(self.pooling)
        self.provenance: dict[str, Any] = {"checkpoint": "random"} if path is None else load_checkpoint(self, path)
        self.output = output
        pooled = DIM if self.pooling == "average" else CLUSTERS * DIM
        self.dim = {"frames": DIM, "embedding": pooled, "logits": CLASSES}[output]
        self.hop_seconds = STRIDE * HOP / RATE if output == "frames" else 0.0

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return -(-self.front.frames(samples) // STRIDE) if self.output == "frames" else 1

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, dim] float32."""
        fmap = self.audnet(self.front(samples))
        if self.output == "frames":
            return self.audnet.frames(fmap).float()
        embedding = self.audnet.embedding(fmap)
        found = embedding if self.output == "embedding" else self.audnet.logits(embedding)
        return found[:, None].float()


class VggSoundH(VggSound):
    """Model H: the mean of the map."""

    variant, pooling = "vggsound_h", "average"


class VggSoundI(VggSound):
    """Model I: NetVLAD."""

    variant, pooling = "vggsound_i", "netvlad"
