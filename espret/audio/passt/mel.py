"""The front end of PaSST: a log-mel spectrogram in Kaldi's mel bands, and the masks it is trained with."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from espret.audio.mel import htk_bands
from espret.audio.network import Extractor, check_rate
from espret.errors import EspretError

RATE, WINDOW, HOP, FFT, BANDS = 32000, 800, 320, 1024, 128  # Hz, then samples, then mel bands
FMIN, FMAX = 0.0, 15000.0  # Hz; training draws them anew for each batch
PREEMPHASIS = 0.97
SHORTEST = FFT // 2 + 2  # samples: pre-emphasis takes one, and reflecting half a transform needs one more than it has
STRETCH = 1 << 13  # spectra computed at a time: bounds memory for long recordings
FLOOR = 1e-5  # power
SILENCE = (math.log(FLOOR) + 4.5) / 5  # what digital silence becomes
MASKED = (0.0 + 4.5) / 5  # what masks write: a zero before the normalisation, about as loud as speech

Masks = Literal["clip", "batch"]


class PasstMel(Extractor):
    """Log-mel spectrogram (x + 4.5) / 5 of 128 bands from 0 to 15000 Hz, every 10 ms; about -1.4 (silence) to 3.

    A clip of n samples gives 1 + (n - 1) // 320 frames; one shorter than 514 samples is padded with zeros to them.
    `segment_seconds`: cut clips into segments of so many seconds, the last one padded with zeros, and transform each by
    itself (the ends of a segment are mirrored), as they go into the network; 0: transform the clip as a whole.

    In train mode each call draws the lowest (0 to 9 Hz) and the highest frequency (14001 to 16000 Hz), and each clip
    or segment gets a mask of less than `freqm` bands and one of less than `timem` frames. `masks: batch` gives all the
    same masks, as torchaudio did when PaSST was trained.
    """

    def __init__(
        self, sample_rate: int, segment_seconds: int = 0, freqm: int = 48, timem: int = 192, masks: Masks = "clip"
    ) -> None:
        super().__init__()
        self.sample_rate = check_rate("passt_mel", sample_rate, RATE)
        self.dim, self.hop_seconds = BANDS, HOP / RATE
        if segment_seconds < 0:
            raise EspretError(f"front end passt_mel: segment_seconds {segment_seconds}; expected 10, 20, or 0: uncut")
        self.segment = segment_seconds * RATE
        self.freqm, self.timem, self.masks = freqm, timem, masks
        hann = torch.hann_window(WINDOW, periodic=False)
        self.register_buffer("hann", pad(hann, [(FFT - WINDOW) // 2] * 2), persistent=False)
        self.register_buffer("bank", mel_bank(FMIN, FMAX), persistent=False)
        self.hann: Tensor
        self.bank: Tensor

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        if self.segment:
            return -(-samples // self.segment) * (self.segment // HOP)
        return 1 + (max(samples, SHORTEST) - 1) // HOP

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> [batch, frames, 128]; float32 under autocast too."""
        batch = len(samples)
        if self.segment:
            samples = pad(samples, (0, -samples.shape[1] % self.segment)).reshape(-1, self.segment)
        with torch.autocast(samples.device.type, enabled=False):
            mel = self._mel(samples.float())
        if self.training:
            mel = mask_stripes(mel, self.freqm, self.timem, self.masks)
        return mel.reshape(batch, -1, BANDS)

    def _mel(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> [batch, frames, 128]."""
        samples = pad(samples, (0, max(0, SHORTEST - samples.shape[1])))
        samples = torch.sub(samples[:, 1:], samples[:, :-1], alpha=PREEMPHASIS)
        count = 1 + samples.shape[1] // HOP
        samples = pad(samples, (FFT // 2, FFT // 2), mode="reflect")
        bank = self._drawn_bank() if self.training else self.bank
        step = max(1, STRETCH // len(samples))
        parts = [self._part(samples, bank, first, min(first + step, count)) for first in range(0, count, step)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _part(self, samples: Tensor, bank: Tensor, first: int, last: int) -> Tensor:
        """Frames first..last-1 of padded samples."""
        stretch = samples[:, first * HOP : (last - 1) * HOP + FFT]
        spectra = torch.stft(stretch, FFT, HOP, window=self.hann, center=False, return_complex=True)
        power = spectra.real.square() + spectra.imag.square()
        return (power.transpose(1, 2) @ bank).add_(FLOOR).log_().add_(4.5).div_(5)

    def _drawn_bank(self) -> Tensor:
        low, high = int(torch.randint(10, ())), int(torch.randint(2000, ()))
        return mel_bank(FMIN + low, FMAX + 1000 - high).to(self.bank)


def mel_bank(low: float, high: float) -> Tensor:
    """Kaldi's mel bands [513, 128] from `low` to `high` Hz, at most half the rate, whose line it leaves out."""
    return htk_bands(RATE, FFT, BANDS, low, high).float()


def mask_stripes(mel: Tensor, freqm: int, timem: int, masks: Masks = "clip") -> Tensor:
    """A copy of spectrograms [batch, frames, bands] with a stripe of less than `timem` frames and one of less than
    `freqm` bands set to MASKED; drawn for each clip, or (`masks: batch`) once."""
    rows = len(mel) if masks == "clip" else 1
    frames = _stripe(rows, mel.shape[1], timem, mel.device)[:, :, None]
    bands = _stripe(rows, mel.shape[2], freqm, mel.device)[:, None, :]
    return mel.masked_fill(frames | bands, MASKED)


def _stripe(rows: int, size: int, widest: int, device: torch.device) -> Tensor:
    """[rows, size] bool, True in a stripe of a width below `widest` that is drawn first, then its place."""
    width = torch.rand(rows, 1, device=device) * widest
    start = (torch.rand(rows, 1, device=device) * (size - width).clamp(min=0)).floor()
    place = torch.arange(size, device=device)
    return (place >= start) & (place < start + width.floor())
