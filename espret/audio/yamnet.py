"""YAMNet, a MobileNet that makes 1024 values, and scores of AudioSet's 521 classes, of every 0.96 s.

Its front end and the cutting into patches are in `espret.audio.htk_mel`.
Source: tensorflow/models, research/audioset/yamnet; the weights as torch has them: w-hc/torch_audioset.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from espret.audio.htk_mel import HOP, PATCH_SAMPLES, HtkLogMel, hop_frames

DIM, CLASSES = 1024, 521
# Channels and stride of layer 1, a convolution, and of layers 2 to 14, separable ones.
LAYERS = ((32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class YamnetLogMel(HtkLogMel):
    """YAMNet's front end: ln(magnitude + 0.001) of 64 mel bands at 16 kHz, 100 frames a second.

    A clip is padded with zeros to whole patches, `hop` seconds apart, as the reference does before its network.
    """

    def __init__(self, sample_rate: int, hop: float = 0.48) -> None:
        super().__init__("yamnet_logmel", sample_rate, offset=0.001)
        self.patch_hop = hop_frames("yamnet_logmel", hop)

    def padded(self, samples: int) -> int:
        """Samples of a clip of `samples` with the zeros that are put at its end."""
        hop = self.patch_hop * HOP
        return PATCH_SAMPLES + -(-max(0, samples - PATCH_SAMPLES) // hop) * hop


class ConvNorm(nn.Module):
    """A convolution padded as TensorFlow's SAME, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-4, momentum=0.01)
        self.bn.weight.requires_grad_(False)  # the reference's batch norm does not scale

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, time, frequency] -> [batch, outputs, time / stride, frequency / stride], rounded up."""
        conv, bn = self.conv, self.bn
        (top, bottom), (left, right) = (_same(size, conv.kernel_size[0], conv.stride[0]) for size in x.shape[2:])
        if (top, left) != (bottom, right):
            x = F.pad(x, (left, right, top, bottom))
            top = left = 0
        if self.training:
            return F.relu_(bn(F.conv2d(x, conv.weight, None, conv.stride, (top, left), groups=conv.groups)))
        # The norm as other kernels and a bias: a pass over the maps less.
        weight, bias = fuse_conv_bn_weights(conv.weight, None, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
        return F.relu_(F.conv2d(x, weight, bias, conv.stride, (top, left), groups=conv.groups))


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis; the odd one is put after it."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def _layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """3x3 convolutions of each channel, then one of all channels at each point."""
    layer = nn.Sequential()
    layer.add_module("depthwise_conv", ConvNorm(inputs, inputs, 3, stride, groups=inputs))
    layer.add_module("pointwise_conv", ConvNorm(inputs, outputs, 1))
    return layer


class YamnetBody(nn.Module):
    """The network behind the front end; its state dict has the keys of torch_audioset's `yamnet.pth`."""

    def __init__(self) -> None:
        super().__init__()
        inputs, stride = LAYERS[0]
        self.layer1 = nn.Sequential()
        self.layer1.add_module("fused", ConvNorm(1, inputs, 3, stride))
        for number, (outputs, stride) in enumerate(LAYERS[1:], 2):
            self.add_module(f"layer{number}", _layer(inputs, outputs, stride))
            inputs = outputs
        self.classifier = nn.Linear(DIM, CLASSES)

    def map(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 1024, 3 in time, 2 in frequency]."""
        x = patches[:, None]
        for number in range(1, len(LAYERS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x

    def forward(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 1024], the mean of the map."""
        return self.map(patches).mean(dim=(2, 3))
