"""The log-mel front end of PANNs, in decibels.

It is the `Spectrogram` and `LogmelFilterBank` of torchlibrosa 0.1.0 with the options of audioset_tagging_cnn, computed
by FFT instead of convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.mel import slaney_bands
from espret.audio.network import Extractor, check_rate

RATE, WINDOW, HOP, MELS = 32000, 1024, 320, 64
FMIN, FMAX = 50.0, 14000.0
POWER_FLOOR = 1e-10
SILENCE = -100.0  # dB of POWER_FLOOR
SHORTEST = WINDOW // 2 + 1  # samples that can be reflected at both ends
SPECTRA = {"cpu": 1 << 9, "cuda": 1 << 16}  # computed at a time: a CPU's cache holds them, a GPU's memory surely does


class PannsLogMel(Extractor):
    """Decibels of mel-band power: 10 log10(max(power, 1e-10)), -100 for silence.

    Periodic Hann windows of 1024 samples every 320 (10 ms), centred on multiples of 320, the clip reflected at its
    ends; 64 Slaney bands (bands of equal area) between 50 and 14000 Hz. A clip of n samples has 1 + n // 320 frames;
    one of up to 512 samples, too short to be reflected, is continued with zeros to 513.
    """

    dim = MELS
    hop_seconds = HOP / RATE

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = check_rate("panns_logmel", sample_rate, RATE)
        self.register_buffer("bands", _mel_bands(), persistent=False)
        self.register_buffer("hann", torch.hann_window(WINDOW, periodic=True), persistent=False)
        self.bands: Tensor
        self.hann: Tensor

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return 1 + max(samples, SHORTEST) // HOP

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, 1 + samples // 320, 64] in dB; float32 in autocast too."""
        count = self.frames(samples.shape[1])
        if samples.shape[1] < SHORTEST:
            samples = F.pad(samples, (0, SHORTEST - samples.shape[1]))
        step = max(32, SPECTRA.get(samples.device.type, 1 << 12) // len(samples))
        with torch.autocast(samples.device.type, enabled=False):
            samples = F.pad(samples, (WINDOW // 2, WINDOW // 2), mode="reflect")
            parts = [self._part(samples, first, min(first + step, count)) for first in range(0, count, step)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _part(self, samples: Tensor, first: int, last: int) -> Tensor:
        """Frames first..last-1 of what has been reflected."""
        stretch = samples[:, first * HOP : (last - 1) * HOP + WINDOW]
        spectra = torch.stft(stretch, WINDOW, HOP, window=self.hann, center=False, return_complex=True)
        power = spectra.real.square() + spectra.imag.square()
        return (power.transpose(1, 2) @ self.bands).clamp_(min=POWER_FLOOR).log10_().mul_(10)


def constants() -> dict[str, nn.Module]:
    """What official files hold of the front end, by name: mel bands, and kernels of the Fourier transform.

    Frozen networks take the bands; the kernels, [513, 1, 1024] each, are there for those files' sake only.
    """
    time = torch.arange(WINDOW, dtype=torch.float64)
    turns = torch.outer(time[: WINDOW // 2 + 1], time) % WINDOW / WINDOW
    hann = 0.5 - 0.5 * torch.cos(2 * torch.pi * time / WINDOW)
    kernels = {"conv_real": torch.cos(2 * torch.pi * turns), "conv_imag": -torch.sin(2 * torch.pi * turns)}
    stft = {name: _Constant("weight", (hann * kernel)[:, None].float()) for name, kernel in kernels.items()}
    return {
        "spectrogram_extractor": nn.ModuleDict({"stft": nn.ModuleDict(stft)}),
        "logmel_extractor": _Constant("melW", _mel_bands()),
    }


class _Constant(nn.Module):
    """A tensor that is not trained."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.register_buffer(name, value)


def _mel_bands() -> Tensor:
    """[513, 64] float32: weights of the spectrum's lines."""
    return slaney_bands(RATE, WINDOW, MELS, FMIN, FMAX).float()
