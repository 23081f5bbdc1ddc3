"""OpenL3: embeddings of 1 s windows by the audio half of a network that learnt which sounds belong to which pictures.

Cramer et al., "Look, listen, and learn more", ICASSP 2019; code github.com/marl/openl3. Here: its network for 128 mel
bands, with the front ends that its versions have had. Reading the file of weights lives in `espret.audio.checkpoint`.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from itertools import zip_longest
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from espret.audio.checkpoint import load_network
from espret.audio.fused import run_fused
from espret.audio.mel import slaney_bands
from espret.audio.network import check_rate
from espret.audio.patches import PatchExtractor
from espret.errors import EspretError

RATE = 48000
WINDOW = RATE  # samples of a window: 1 s
FFT, HOP, BANDS, FRAMES = 2048, 242, 128, 199
FLOOR, RANGE = 1e-10, 80.0  # amplitude below which nothing is told apart; dB kept below a window's maximum
PADDING = {  # samples put before and after a window, and how
    "kapre03": (0, (FRAMES - 1) * HOP + FFT - WINDOW, "constant"),
    "kapre014": (982, 982, "constant"),
    "librosa": (FFT // 2, FFT // 2, "constant"),
    "librosa_reflect": (FFT // 2, FFT // 2, "reflect"),
}
POOL = {512: (16, 24), 6144: (4, 8)}  # mel by time, of the map
KERAS = {  # names in Keras's files: ours
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

FrontEnd = Literal["kapre03", "kapre014", "librosa", "librosa_reflect"]


class OpenL3LogMel(nn.Module):
    """Mel magnitudes of 1 s windows in dB (10 log10) below the window's maximum, at most 80: digital silence is 0.

    `frontend`: "kapre03", the default of openl3 0.4 (with kapre 0.3): spectra start at each multiple of 242 samples,
    zeros follow the window; Slaney's mel scale, of magnitudes. "kapre014", of openl3 up to 0.3.1, which the weights
    were trained with: centred, HTK's mel scale, of powers, whose root is taken. "librosa", the other one of openl3 0.4:
    as kapre03, but centred, zeros on both sides; "librosa_reflect": with librosa before 0.10, which mirrored the ends.
    """

    def __init__(self, frontend: FrontEnd = "kapre03") -> None:
        super().__init__()
        self.padding, self.power = PADDING[frontend], 2 if frontend == "kapre014" else 1
        bands = slaney_bands(RATE, FFT, BANDS, 0, RATE / 2, "htk" if frontend == "kapre014" else "slaney")
        self.register_buffer("bands", bands.T.float().contiguous(), persistent=False)
        self.register_buffer("hann", torch.hann_window(FFT, periodic=True), persistent=False)
        self.bands: Tensor
        self.hann: Tensor

    def forward(self, windows: Tensor) -> Tensor:
        """[windows, 48000] samples at 48 kHz, about -1..1 -> [windows, 128 mel, 199 frames] float32, dB in -80..0."""
        before, after, mode = self.padding
        with torch.autocast(windows.device.type, enabled=False):
            padded = pad(windows.float(), (before, after), mode)
            spectra = torch.stft(padded, FFT, HOP, window=self.hann, center=False, return_complex=True)
            power = torch.addcmul(spectra.real.square(), spectra.imag, spectra.imag)
            mel = (self.bands @ power).sqrt_() if self.power == 2 else self.bands @ power.sqrt_()
            level = 10 * torch.log10(mel.clamp_(min=FLOOR))
            return (level - level.amax(dim=(1, 2), keepdim=True)).clamp_(min=-RANGE)


class OpenL3Body(nn.Sequential):
    """From log-mel windows to maps: a batch norm, eight convolutions of 3 x 3, three poolings by 2.

    Layers have the names that Keras gives them; those of the published file may have other numbers, so `from_keras`
    goes by the order of these.
    """

    def __init__(self) -> None:
        layers: dict[str, nn.Module] = {"batch_normalization": _norm(1)}
        inside = 1
        for number, width in enumerate((64, 64, 128, 128, 256, 256, 512, 512)):
            name = "audio_embedding_layer" if number == 7 else f"conv2d_{number}" if number else "conv2d"
            layers[name] = nn.Conv2d(inside, width, 3, padding=1)
            if number < 7:
                layers[f"batch_normalization_{number + 1}"] = _norm(width)
                layers[f"activation_{number + 1}"] = nn.ReLU(inplace=True)
            if number in (1, 3, 5):
                layers[f"max_pooling2d_{number // 2 + 1}"] = nn.MaxPool2d(2)
            inside = width
        super().__init__(OrderedDict(layers))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on CPU

    def forward(self, logmel: Tensor) -> Tensor:
        """[windows, 128 mel, 199 frames] -> [windows, 512, 16 mel, 24 frames], without an activation."""
        return run_fused(self, logmel[:, None])

    def from_keras(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict in the tensors of a Keras file, keyed `layer/.../kernel:0`, in any order.

        Raises EspretError where their number or one's name is not this network's; shapes are the reader's to check.
        """
        layers: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            layer, _, last = key.removesuffix(":0").rpartition("/")
            if last not in KERAS:
                raise EspretError(f"tensor '{layer}/{last}'; expected {', '.join(KERAS)} (a file of openl3 0.4)")
            layers.setdefault(layer, {})[last] = tensor
        own = [name for name, layer in self.named_children() if any(True for _ in layer.parameters())]
        if len(layers) != len(own):
            names = ", ".join(layers)
            raise EspretError(
                f"{len(layers)} layers with weights ({names:.900}); expected the {len(own)} of OpenL3's audio network"
            )
        found: dict[str, Tensor] = {}
        for values, name in zip(_in_order(layers), own):
            for last, tensor in values.items():
                found[f"{name}.{KERAS[last]}"] = tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor
        return found


def _in_order(layers: dict[str, dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The layers of a Keras file as the network has them, whose norms and convolutions take turns.

    Keras numbers those of a kind as they are made (the first may go without); formats such as safetensors sort names.
    """

    def number(layer: str) -> float:
        digits = re.search("_([0-9]+)$", layer)
        return math.inf if "audio_embedding_layer" in layer else int(digits[1]) if digits else 0

    names = sorted(layers, key=number)
    convolutions = [layers[name] for name in names if not layers[name].keys().isdisjoint(("kernel", "bias"))]
    norms = [layers[name] for name in names if layers[name].keys().isdisjoint(("kernel", "bias"))]
    return [layer for pair in zip_longest(norms, convolutions) for layer in pair if layer is not None]


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)  # Keras's defaults


def embeddings(maps: Tensor, size: int) -> Tensor:
    """[windows, 512, 16, 24] -> [windows, size]: maxima over all, or over 4 x 8 cells (6144: mel, time, channel)."""
    return max_pool2d(maps, POOL[size]).permute(0, 2, 3, 1).flatten(1)


class OpenL3(PatchExtractor):
    """OpenL3's embeddings of 1 s windows of environmental sounds at 48 kHz, in 512 or 6144 values.

    Windows are `hop` seconds apart; with `center` the first one's middle is the clip's beginning, with half a second of
    zeros before it. Zeros follow the clip until the last window is full. Memory: 32 windows at a time take 0.5 GB;
    beside these, an hour takes 1.4 GB for its samples and a padded copy.
    """

    at_a_time = 32

    def __init__(
        self,
        sample_rate: int,
        checkpoint: str = "official",
        hop: float = 0.1,
        center: bool = True,
        embedding: Literal[512, 6144] = 512,
        frontend: FrontEnd = "kapre03",
    ) -> None:
        super().__init__()
        if not 1 <= hop * RATE < math.inf:
            raise EspretError(f"front end openl3: hop is {hop}; expected seconds between windows, such as 0.1")
        self.sample_rate = check_rate("openl3", sample_rate, RATE)
        self.hop, self.before, self.dim = int(hop * RATE), WINDOW // 2 if center else 0, embedding
        self.hop_seconds = self.hop / RATE
        self.front = OpenL3LogMel(frontend)
        self.body, self.provenance = load_network("openl3", checkpoint, OpenL3Body)

    def frames(self, samples: int) -> int:
        """Windows that are made of a clip of `samples`."""
        return 1 + -(-max(0, self.before + samples - WINDOW) // self.hop)

    def patches(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> [batch, windows, 48000]."""
        length = samples.shape[-1]
        needed = (self.frames(length) - 1) * self.hop + WINDOW
        return pad(samples, (self.before, needed - self.before - length)).unfold(1, WINDOW, self.hop)

    def embed(self, patches: Tensor) -> Tensor:
        """[windows, 48000] -> [windows, 512 or 6144] float32."""
        return embeddings(self.body(self.front(patches)), self.dim).float()
