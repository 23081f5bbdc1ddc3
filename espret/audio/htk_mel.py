"""What VGGish and YAMNet share: a log-mel spectrogram of HTK bands at 16 kHz, and its patches that a network sees.

The networks themselves are in `espret.audio.vggish` and `espret.audio.yamnet`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from espret.audio.mel import htk_bands
from espret.audio.network import Extractor, check_rate
from espret.audio.patches import PatchExtractor
from espret.errors import EspretError

RATE, WINDOW, HOP, FFT = 16000, 400, 160, 512  # Hz; samples: 25 ms every 10 ms, padded with zeros to the transform
BANDS, LOW, HIGH = 64, 125.0, 7500.0  # Hz
PATCH = 96  # frames
PATCH_SAMPLES = (PATCH - 1) * HOP + WINDOW  # what a patch hears: 0.975 s
FRAMES = 1 << 12  # spectra computed at a time: bounds memory for long recordings


def hop_frames(name: str, hop: float) -> int:
    """Frames from patch to patch. Raises EspretError where `hop` seconds are not a whole number of them."""
    count = round(hop * RATE / HOP) if 0 < hop < math.inf else 0
    if count < 1 or abs(count * HOP - hop * RATE) > 1e-6 * RATE:
        raise EspretError(f"front end {name}: hop is {hop}; expected seconds between patches, a multiple of 0.01")
    return count


class HtkLogMel(Extractor):
    """ln(magnitude + `offset`) of 64 mel bands from 125 to 7500 Hz, of periodic-Hann windows of 25 ms every 10 ms.

    Windows lie wholly within the clip, which is first padded with zeros (`padded`) to hold a patch at least. It is
    computed in float32, under autocast too.
    """

    def __init__(self, name: str, sample_rate: int, offset: float) -> None:
        super().__init__()
        self.sample_rate = check_rate(name, sample_rate, RATE)
        self.dim, self.hop_seconds, self.offset = BANDS, HOP / RATE, offset
        window = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64)
        self.register_buffer("window", pad(window.float(), (0, FFT - WINDOW)), persistent=False)
        self.register_buffer("bands", htk_bands(RATE, FFT, BANDS, LOW, HIGH).float(), persistent=False)
        self.window: Tensor
        self.bands: Tensor

    def padded(self, samples: int) -> int:
        """Samples of a clip of `samples` with the zeros that are put at its end."""
        return max(samples, PATCH_SAMPLES)

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return 1 + (self.padded(samples) - WINDOW) // HOP

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, 64]."""
        count = self.frames(samples.shape[-1])
        with torch.autocast(samples.device.type, enabled=False):
            parts = [self._part(samples, first, min(first + FRAMES, count)) for first in range(0, count, FRAMES)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _part(self, samples: Tensor, first: int, last: int) -> Tensor:
        """Frames first..last-1."""
        # The transform reaches beyond its window, where samples are multiplied by zero.
        needed = (last - 1 - first) * HOP + FFT
        stretch = samples[:, first * HOP : first * HOP + needed].float()
        stretch = pad(stretch, (0, needed - stretch.shape[-1]))
        spectra = torch.stft(stretch, FFT, HOP, window=self.window, center=False, return_complex=True)
        # abs() of complex numbers takes twice as long.
        magnitudes = torch.addcmul(spectra.real.square(), spectra.imag, spectra.imag).sqrt_()
        return (magnitudes.transpose(1, 2) @ self.bands).add_(self.offset).log_()


class MelPatchNetwork(PatchExtractor):
    """A frozen network that sees patches of 96 frames of `front`'s spectrogram, `hop` frames apart.

    Patches that reach over the spectrogram's end are dropped. Memory: `at_a_time` patches in the network; beside these,
    an hour takes 185 MB for its spectrogram.
    """

    at_a_time = 32

    def __init__(self, front: HtkLogMel, hop: int) -> None:
        super().__init__()
        self.front, self.hop = front, hop
        self.sample_rate, self.hop_seconds = front.sample_rate, hop * front.hop_seconds

    def frames(self, samples: int) -> int:
        """Patches of a clip of `samples`."""
        return 1 + (self.front.frames(samples) - PATCH) // self.hop

    def patches(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> [batch, patches, 96, 64], a view of the spectrogram."""
        spectrogram: Tensor = self.front(samples)
        return spectrogram.unfold(1, PATCH, self.hop).transpose(2, 3)
