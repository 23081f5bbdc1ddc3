"""What VGGish and YAMNet share: a log-mel spectrogram of HTK bands at 16 kHz, cut into patches that a network sees.

The networks themselves are in `espret.audio.vggish` and `espret.audio.yamnet`.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from espret.audio.network import Extractor, check_rate
from espret.errors import EspretError

RATE, WINDOW, HOP, FFT = 16000, 400, 160, 512  # Hz; samples: 25 ms every 10 ms, padded with zeros to the transform
BANDS, LOW, HIGH = 64, 125.0, 7500.0  # Hz
PATCH = 96  # frames
PATCH_SAMPLES = (PATCH - 1) * HOP + WINDOW  # what a patch hears: 0.975 s
FRAMES = 1 << 12  # spectra computed at a time
PATCHES = 32  # patches that go through a network at a time: with FRAMES, bounds memory for long recordings


def htk_bands() -> Tensor:
    """[FFT / 2 + 1, BANDS] float32: triangles whose sides are straight on the mel scale, not in Hz, of height 1.

    Source: tensorflow/models, research/audioset/vggish/mel_features.py; tf.signal.linear_to_mel_weight_matrix.
    """
    lines = _mel(torch.linspace(0, RATE / 2, FFT // 2 + 1, dtype=torch.float64))[:, None]
    low, high = _mel(torch.tensor([LOW, HIGH], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, BANDS + 2, dtype=torch.float64)
    rising = (lines - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - lines) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def _mel(hertz: Tensor) -> Tensor:
    return 1127 * torch.log1p(hertz / 700)


def hop_frames(name: str, hop: float) -> int:
    """Frames from patch to patch. Raises EspretError where `hop` seconds are not a whole number of them."""
    count = round(hop * RATE / HOP)
    if count < 1 or abs(count * HOP - hop * RATE) > 1e-6 * RATE:
        raise EspretError(f"front end {name}: hop is {hop}; expected seconds that are a multiple of {HOP / RATE}")
    return count


class HtkLogMel(Extractor):
    """ln(magnitude + `offset`) of 64 mel bands between 125 and 7500 Hz, from periodic-Hann windows of 25 ms every 10 ms.

    Windows lie wholly within the clip, which `padded` lengthens with zeros so that there is at least one patch.
    Computed in float32, under autocast too.
    """

    def __init__(self, name: str, sample_rate: int, offset: float) -> None:
        super().__init__()
        self.sample_rate = check_rate(name, sample_rate, RATE)
        self.dim, self.hop_seconds, self.offset = BANDS, HOP / RATE, offset
        window = pad(torch.hann_window(WINDOW, periodic=True, dtype=torch.float64).float(), (0, FFT - WINDOW))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", htk_bands(), persistent=False)
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
        length = samples.shape[-1]
        count = self.frames(length)
        # The transform reaches beyond the last window, where it is multiplied by zero.
        samples = pad(samples.float(), (0, self.padded(length) - length + FFT - WINDOW))
        with torch.autocast(samples.device.type, enabled=False):
            parts = [self._part(samples, first, min(first + FRAMES, count)) for first in range(0, count, FRAMES)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _part(self, samples: Tensor, first: int, last: int) -> Tensor:
        """Frames first..last-1."""
        stretch = samples[:, first * HOP : (last - 1) * HOP + FFT]
        spectra = torch.stft(stretch, FFT, HOP, window=self.window, center=False, return_complex=True)
        magnitudes = (spectra.real.square() + spectra.imag.square()).sqrt_()
        return (magnitudes.transpose(1, 2) @ self.bands).add_(self.offset).log_()

    def joined(self, clips: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """The frames of clips [samples] of any lengths laid end to end [frames, 64], and where each clip's begin.

        Each begins at a multiple of the hop, so that its frames are those of the clip alone; between the frames of two
        clips there are some that hear both, or padding.
        """
        slots = [-(-self.padded(len(clip)) // HOP) * HOP for clip in clips]
        begins = list(itertools.accumulate(slots, initial=0))
        line = clips[0].new_zeros(begins[-1], dtype=torch.float32)
        for clip, begin in zip(clips, begins):
            line[begin : begin + len(clip)] = clip
        return self(line[None])[0], [begin // HOP for begin in begins[:-1]]


class PatchNetwork(Extractor):
    """A frozen network that hears patches of 96 frames, `hop` frames apart, of `front`'s spectrogram.

    Incomplete patches at the end are dropped. Memory: patches of all clips go through the network 32 at a time; beside
    these, an hour takes the signal twice (460 MB) and its spectrogram (92 MB).
    """

    def __init__(self, front: HtkLogMel, hop: int, per_patch: int = 1) -> None:
        """`per_patch`: how many tokens come of a patch, at even distances."""
        super().__init__()
        self.front, self.hop, self.per_patch = front, hop, per_patch
        self.sample_rate, self.hop_seconds = RATE, hop * HOP / RATE / per_patch

    def patches(self, samples: int) -> int:
        """Patches of a clip of `samples`."""
        return 1 + (self.front.frames(samples) - PATCH) // self.hop

    def frames(self, samples: int) -> int:
        """Tokens that come out of a clip of `samples`."""
        return self.per_patch * self.patches(samples)

    @abstractmethod
    def tokens(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] -> [patches * per_patch, dim]."""

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, tokens, dim]."""
        return torch.stack(self.extract(samples.unbind()))

    def extract(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """The tokens [tokens, dim] of clips [samples] of any lengths, whose patches go through the network together."""
        spectrogram, begins = self.front.joined(clips)
        counts = [self.patches(len(clip)) for clip in clips]
        starts = [begin + self.hop * torch.arange(count) for begin, count in zip(begins, counts)]
        rows = torch.cat(starts).to(spectrogram.device)[:, None] + torch.arange(PATCH, device=spectrogram.device)
        made = torch.cat([self.tokens(spectrogram[part]) for part in rows.split(PATCHES)])
        return list(made.split([count * self.per_patch for count in counts]))
