"""The bodies of PANNs' CNN10, CNN14 and ResNet38: log-mel spectrograms to feature maps."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.panns.logmel import MELS, SILENCE, constants
from espret.models.batch import length_mask
from espret.training.augment import stripes

CLASSES = 527  # of AudioSet
NARROW = 4  # bins
STRETCH = 1 << 12  # frames of a long recording that go through the blocks at a time (41 s)


class Panns(nn.Module):
    """What the bodies share: the norm of the bands, masks in training, and what follows the last block.

    `dim` channels come out of the last block, a frame for every `pooling` frames of the spectrogram, in `bins` rows of
    frequency. A frame that comes out depends on no more than `reach` frames of the spectrogram on either side.

    The state dict has the keys of the official file, some of them constants of the front end, of no use to the body.

    In training, two stripes of up to 63 frames and two of up to 7 bands are set to zero after the norm (where
    `spec_augment`), and dropout is 0.2 after each block, 0.1 within residual blocks, 0.5 before `fc1`.
    """

    dim: ClassVar[int]
    pooling: ClassVar[int]
    reach: ClassVar[int]

    def __init__(self, spec_augment: bool = True) -> None:
        super().__init__()
        self.spec_augment = spec_augment
        self.bins = MELS // self.pooling
        for name, constant in constants().items():
            self.add_module(name, constant)
        self.bn0 = nn.BatchNorm2d(MELS)
        self._add_blocks()
        self.fc1 = nn.Linear(self.dim, self.dim)
        self.fc_audioset = nn.Linear(self.dim, CLASSES)
        _initialise(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @abstractmethod
    def _add_blocks(self) -> None:
        """Make the blocks, named as in the official checkpoints."""

    @abstractmethod
    def _blocks(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[batch, 1, frames, 64] -> [batch, dim, frames // pooling, bins], and its lengths."""

    def forward(self, logmel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[batch, frames, 64] in dB -> the map after the last block [batch, dim, frames // pooling, bins].

        With `lengths` [batch] in frames, padding changes nothing of a clip's map in eval mode, and the map is zero
        beyond `pooled(lengths)`. A clip of fewer than `pooling` frames is continued with silence. In eval mode long
        recordings go through the blocks in stretches that overlap, which gives the same.
        """
        if logmel.shape[1] < self.pooling:
            logmel = F.pad(logmel, (0, 0, 0, self.pooling - logmel.shape[1]), value=SILENCE)
        if lengths is not None:
            logmel = logmel.where(length_mask(lengths, logmel.shape[1])[..., None], SILENCE)
            lengths = lengths.clamp(min=self.pooling)
        x = self._normalised(logmel, lengths)[:, None]
        if self.training or x.shape[2] <= STRETCH + self.reach:
            return _cut(*self._blocks(x, lengths))
        return torch.cat([self._part(x, lengths, first) for first in range(0, x.shape[2], STRETCH)], dim=2)

    def pooled(self, lengths: Tensor) -> Tensor:
        """How many frames come out of clips of `lengths` frames."""
        return lengths.clamp(min=self.pooling) // self.pooling

    def frames(self, fmap: Tensor) -> Tensor:
        """The mean of a map over frequency: [batch, frames, dim]."""
        return fmap.mean(dim=3).transpose(1, 2)

    def embedding(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[batch, frames, dim], zero beyond `lengths`, -> [batch, dim]: maximum plus mean over time, `fc1` and ReLU.

        The reference drops half of this in training before it returns it, but classifies all of it.
        """
        count = frames.shape[1] if lengths is None else lengths[:, None]
        pooled = frames.amax(dim=1) + frames.sum(dim=1) / count  # frames are not negative: the maximum is a valid one's
        return F.relu(self.fc1(F.dropout(pooled, 0.5, self.training)))

    def logits(self, embedding: Tensor) -> Tensor:
        """[batch, dim] -> [batch, 527]: scores of AudioSet's classes, before the sigmoid."""
        scores: Tensor = self.fc_audioset(embedding)
        return scores

    def _normalised(self, logmel: Tensor, lengths: Tensor | None) -> Tensor:
        """[batch, frames, 64] with normalised bands; in training by the statistics of valid frames, and striped."""
        if not self.training:
            return self._norm(logmel.flatten(0, 1)).view_as(logmel)
        if lengths is None:
            lengths = torch.full((len(logmel),), logmel.shape[1], device=logmel.device)
        frames = logmel.flatten(0, 1)
        # Numbers, not a mask: a GPU has to be waited for once, here, and not again in the backward pass.
        valid = length_mask(lengths, logmel.shape[1]).flatten().nonzero()[:, 0]
        x = torch.zeros_like(frames).index_copy(0, valid, self._norm(frames[valid])).view_as(logmel)
        if not self.spec_augment:
            return x
        times = stripes(lengths, x.shape[1], masks=2, width=63)
        bands = stripes(torch.full_like(lengths, MELS), MELS, masks=2, width=7)
        return x.masked_fill(times[:, :, None] | bands[:, None, :], 0)

    def _norm(self, frames: Tensor) -> Tensor:
        """`bn0` of [frames, 64], as maps of one element: torch 2.11's gradients of transposed maps are wrong on CPU."""
        return self.bn0(frames[:, :, None, None]).flatten(1)

    def _part(self, x: Tensor, lengths: Tensor | None, first: int) -> Tensor:
        """The map of frames first..first+STRETCH-1, from these and those that they reach."""
        begin = max(0, first - self.reach)
        part = x[:, :, begin : first + STRETCH + self.reach]
        if lengths is not None:
            lengths = (lengths - begin).clamp(0, part.shape[2])
        skip = (first - begin) // self.pooling
        return _cut(*self._blocks(part, lengths))[:, :, skip : skip + STRETCH // self.pooling]


class ConvBlock(nn.Module):
    """Twice 3x3 convolution, batch norm and ReLU; then the mean over squares of 2 x 2, where `pool`."""

    def __init__(self, inputs: int, outputs: int, pool: bool = True) -> None:
        super().__init__()
        self.conv1, self.bn1 = Conv3x3(inputs, outputs), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = Conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.pool = pool

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """[batch, channels, frames, bins] and frames [batch], both pooled."""
        x = F.relu(self.bn1(self.conv1(_cut(x, lengths))), inplace=True)
        x = F.relu(self.bn2(self.conv2(_cut(x, lengths))), inplace=True)
        return _pool(x, lengths) if self.pool else (x, lengths)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norms around which the input goes; with `pool`, over means of 2 x 2 of it."""

    def __init__(self, inputs: int, outputs: int, pool: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = Conv3x3(inputs, outputs), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = Conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if pool:
            around = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            # The reference pools here, so that its keys start at 1; we pool once for both ways.
            self.downsample = nn.Sequential(nn.Identity(), *around)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """[batch, channels, frames, bins] and frames [batch], both pooled where the block pools."""
        if self.downsample is not None:
            x, lengths = _pool(x, lengths)
        y = F.relu(self.bn1(self.conv1(_cut(x, lengths))), inplace=True)
        y = F.dropout(y, 0.1, self.training)
        y = self.bn2(self.conv2(_cut(y, lengths)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True), lengths


class _Cnn(Panns):
    """Blocks of `widths` channels, each of which pools as long as `pooling` is not reached."""

    widths: ClassVar[tuple[int, ...]]

    def _add_blocks(self) -> None:
        for number, (inputs, outputs) in enumerate(zip((1, *self.widths), self.widths), 1):
            self.add_module(f"conv_block{number}", ConvBlock(inputs, outputs, pool=2**number <= self.pooling))

    def _blocks(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for number in range(1, len(self.widths) + 1):
            x, lengths = self.get_submodule(f"conv_block{number}")(x, lengths)
            x = F.dropout(x, 0.2, self.training)
        return x, lengths


class Cnn10(_Cnn):
    """CNN10: 6.3 M weights, 512 channels, a frame every 0.16 s."""

    widths, dim, pooling, reach = (64, 128, 256, 512), 512, 16, 32


class Cnn14(_Cnn):
    """CNN14: 81.8 M weights, 2048 channels, a frame every 0.32 s; the last block does not pool."""

    widths, dim, pooling, reach = (64, 128, 256, 512, 1024, 2048), 2048, 32, 128


class ResNet38(Panns):
    """ResNet38: 74.9 M weights, 2048 channels, a frame every 0.32 s; 16 residual blocks between two others."""

    widths: ClassVar[tuple[int, ...]] = (64, 128, 256, 512)  # of the layers
    counts = (3, 4, 6, 3)  # of their blocks
    dim, pooling, reach = 2048, 32, 320

    def _add_blocks(self) -> None:
        self.conv_block1 = ConvBlock(1, self.widths[0])
        self.resnet = nn.ModuleDict()
        inputs = self.widths[0]
        for number, (outputs, count) in enumerate(zip(self.widths, self.counts), 1):
            more = (ResidualBlock(outputs, outputs, pool=False) for _ in range(1, count))
            self.resnet[f"layer{number}"] = nn.ModuleList([ResidualBlock(inputs, outputs, pool=number > 1), *more])
            inputs = outputs
        self.conv_block_after1 = ConvBlock(inputs, self.dim, pool=False)

    def _blocks(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x, lengths = self.conv_block1(x, lengths)
        x = F.dropout(x, 0.2, self.training)
        for layer in self.resnet.values():
            for block in layer.children():
                x, lengths = block(x, lengths)
        x, lengths = _pool(x, lengths)
        x = F.dropout(x, 0.2, self.training)
        x, lengths = self.conv_block_after1(x, lengths)
        return F.dropout(x, 0.2, self.training), lengths


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution, padded by 1. On a CPU narrow maps go through it as a product of matrices.

    oneDNN reorders the weights at each call and computes maps of 2 or 4 bins at a quarter of its speed: with the last
    blocks of CNN14 so, the whole network takes half the time.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, frames, bins] -> [batch, outputs, frames, bins]."""
        if x.device.type != "cpu" or x.shape[3] > NARROW or torch.is_grad_enabled():
            return super().forward(x)
        squares = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1)
        columns = squares.permute(0, 1, 2, 4, 5, 3).flatten(3)  # [batch, frames, bins, 9 * inputs]
        return F.linear(columns, self.weight.permute(0, 2, 3, 1).flatten(1)).permute(0, 3, 1, 2)


def _cut(x: Tensor, lengths: Tensor | None) -> Tensor:
    """`x` [batch, channels, frames, bins] with zeros beyond each clip's length, as a convolution pads a clip alone."""
    return x if lengths is None else x * length_mask(lengths, x.shape[2])[:, None, :, None]


def _pool(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Means over whole squares of 2 x 2, which see nothing beyond a clip's end."""
    return F.avg_pool2d(x, 2), None if lengths is None else lengths // 2


def _initialise(network: nn.Module) -> None:
    """Weights as the reference starts from: Glorot's, and residual blocks that pass their input on."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, ResidualBlock):
            nn.init.zeros_(module.bn2.weight)
