"""YAMNet, a MobileNet that makes 1024 values, and scores of AudioSet's 521 classes, of every 0.96 s.

Its spectrogram and the cutting into patches are in `espret.audio.htk_mel`.
Source: tensorflow/models, research/audioset/yamnet; its weights for torch: w-hc/torch_audioset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.checkpoint import load_network
from espret.audio.fused import run_fused
from espret.audio.htk_mel import HOP, PATCH_SAMPLES, RATE, HtkLogMel, MelPatchNetwork, hop_frames
from espret.audio.network import check_rate

DIM, CLASSES = 1024, 521
# Channels and stride of layer 1, a convolution, and of layers 2 to 14, separable ones.
LAYERS = ((32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
KERAS = {  # names of layers and tensors: torch_audioset's
    "conv": "fused",
    "logits": "classifier",  # in the official file
    "dense": "classifier",  # in the current code
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class YamnetLogMel(HtkLogMel):
    """YAMNet's spectrogram: ln(magnitude + 0.001) of 64 mel bands at 16 kHz, 100 frames a second.

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
        padding = kernel // 2 if stride == 1 else 0  # where the stride is 2, it depends on the size
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-4, momentum=0.01)
        self.bn.weight.requires_grad_(False)  # the reference's batch norm does not scale

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, time, frequency] -> [batch, outputs, time / stride, frequency / stride], rounded up."""
        if self.conv.stride[0] == 2:  # windows of 3: one zero after an even number, one on either side of an odd one
            x = F.pad(x, (x.shape[3] % 2, 1, x.shape[2] % 2, 1))
        return F.relu_(run_fused([self.conv, self.bn], x))


def _layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """3x3 convolutions of each channel, then one of all channels at each point."""
    layer = nn.Sequential()
    layer.add_module("depthwise_conv", ConvNorm(inputs, inputs, 3, stride, groups=inputs))
    layer.add_module("pointwise_conv", ConvNorm(inputs, outputs, 1))
    return layer


class YamnetBody(nn.Module):
    """The network behind the spectrogram; its state dict has the keys of torch_audioset's `yamnet.pth`."""

    def __init__(self) -> None:
        super().__init__()
        inputs, stride = LAYERS[0]
        self.layer1 = nn.Sequential()
        self.layer1.add_module("fused", ConvNorm(1, inputs, 3, stride))
        for number, (outputs, stride) in enumerate(LAYERS[1:], 2):
            self.add_module(f"layer{number}", _layer(inputs, outputs, stride))
            inputs = outputs
        self.classifier = nn.Linear(DIM, CLASSES)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on CPU

    def maps(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 1024, 3 in time, 2 in frequency]."""
        x = patches[:, None]
        for number in range(1, len(LAYERS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x

    def forward(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 1024], the mean of the map."""
        return self.maps(patches).mean(dim=(2, 3))

    def from_keras(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict in the tensors of the official `yamnet.h5`, keyed `layer/name/layer/name/kernel:0`.

        What is not YAMNet's gets no name of YAMNet's, so that the reader of the file names it.
        """
        found = {}
        for key, tensor in tensors.items():
            name = _name(key)
            found[name] = _turned(key, tensor)
            if name.endswith(".running_mean"):  # the reference's norms do not scale and count no batches
                norm = name.removesuffix(".running_mean")
                found.setdefault(f"{norm}.weight", torch.ones_like(tensor))
                found[f"{norm}.num_batches_tracked"] = torch.tensor(0)
        return found


def _name(key: str) -> str:
    """`layer2/pointwise_conv/bn/layer2/pointwise_conv/bn/beta:0` -> `layer2.pointwise_conv.bn.bias`."""
    *path, last = key.removesuffix(":0").split("/")
    half = len(path) // 2
    layer = path[half:] if path[half:] == path[:half] else path  # Keras writes it twice
    convolution = ["conv"] if len(layer) == 2 else []
    return ".".join([KERAS.get(part, part) for part in layer] + convolution + [KERAS.get(last, last)])


def _turned(key: str, tensor: Tensor) -> Tensor:
    """A tensor of Keras with its axes as torch has them: outputs, inputs of a group, height, width."""
    last = key.removesuffix(":0").rpartition("/")[2]
    if last == "depthwise_kernel":  # height, width, inputs, 1
        return tensor.permute(2, 3, 0, 1).contiguous()
    if last == "kernel":  # height, width, inputs, outputs, or inputs, outputs
        return (tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T).contiguous()
    return tensor


class Yamnet(MelPatchNetwork):
    """YAMNet at 16 kHz: a token for each patch of 0.96 s, `hop` seconds apart (the reference: 0.48).

    Options: `checkpoint`: "official" (Keras's yamnet.h5), the path of it or of torch_audioset's yamnet.pth, "random";
    `output`: "embedding" (1024 values), "logits" (521) or "predictions" (their sigmoids).

    A clip is padded with zeros to whole patches.
    """

    def __init__(
        self,
        sample_rate: int,
        checkpoint: str = "official",
        output: Literal["embedding", "logits", "predictions"] = "embedding",
        hop: float = 0.48,
    ) -> None:
        rate, frames = check_rate("yamnet", sample_rate, RATE), hop_frames("yamnet", hop)
        super().__init__(YamnetLogMel(rate, hop), frames)
        self.output, self.dim = output, DIM if output == "embedding" else CLASSES
        self.body, self.provenance = load_network("yamnet", checkpoint, YamnetBody)

    def embed(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] -> [patches, 1024 or 521]."""
        found: Tensor = self.body(patches)
        if self.output != "embedding":
            found = self.body.classifier(found)
        return (found.sigmoid() if self.output == "predictions" else found).float()
