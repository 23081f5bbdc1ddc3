"""The log-mel front end of PANNs (Kong et al., 2020), in decibels. The networks behind it live in `espret.audio.panns`.

It is the `Spectrogram` and `LogmelFilterBank` of torchlibrosa 0.1.0 with the options of audioset_tagging_cnn, computed
by FFT instead of convolution.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

    Its state dict has the names that the official checkpoints give to its constants. The mel bands in it are used; the
    kernels of the Fourier transform are there for those files' sake only.
    """

    dim = MELS
    hop_seconds = HOP / RATE

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = check_rate("panns_logmel", sample_rate, RATE)
        kernels = zip(("conv_real", "conv_imag"), _fourier_kernels())
        stft = nn.ModuleDict({name: _Constant("weight", kernel) for name, kernel in kernels})
        self.spectrogram_extractor = nn.ModuleDict({"stft": stft})
        self.logmel_extractor = _Constant("melW", slaney_bands(RATE, WINDOW, MELS, FMIN, FMAX))
        self.register_buffer("hann", torch.hann_window(WINDOW, periodic=True), persistent=False)
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
        bands = power.transpose(1, 2) @ self.logmel_extractor.get_buffer("melW")
        return bands.clamp_(min=POWER_FLOOR).log10_().mul_(10)


class _Constant(nn.Module):
    """A tensor of the checkpoints that is not trained."""

    def __init__(self, name: str, value: np.ndarray) -> None:
        super().__init__()
        self.register_buffer(name, torch.from_numpy(value.astype(np.float32)))


def _fourier_kernels() -> tuple[np.ndarray, np.ndarray]:
    """[513, 1, 1024] each: cos(2 pi k n / 1024) and -sin(2 pi k n / 1024), times the window."""
    time = np.arange(WINDOW)
    turns = np.outer(np.arange(WINDOW // 2 + 1), time) % WINDOW / WINDOW
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / WINDOW)
    return (np.cos(2 * np.pi * turns) * hann)[:, None], (-np.sin(2 * np.pi * turns) * hann)[:, None]


def slaney_bands(rate: int, window: int, bands: int, fmin: float, fmax: float) -> np.ndarray:
    """Triangles of equal area over the lines of a spectrum, [window // 2 + 1, bands] float64, as librosa makes them.

    In double precision: torchaudio's, in single precision, are off by up to 2e-3 of themselves where they are small.
    """
    edges = _hertz(np.linspace(_mel(fmin), _mel(fmax), bands + 2))
    lines = np.arange(window // 2 + 1)[:, None] * rate / window
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (lines - low) / (centre - low), (high - lines) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low))


# Slaney's scale: 200/3 Hz a mel up to 1 kHz (15 mel), above it 27 mel for a factor of 6.4.
def _mel(hertz: float) -> float:
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _hertz(mels: np.ndarray) -> np.ndarray:
    return np.where(mels < 15, 200 * mels / 3, 1000 * 6.4 ** ((mels - 15) / 27))
