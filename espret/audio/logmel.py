"""The log-mel front end: waveform to log energies of mel bands. Augmentation and normalisation do not live here."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from espret.audio.mel import Scale, slaney_bands
from espret.audio.network import Extractor
from espret.errors import EspretError

FRAMES = 1 << 13  # spectra computed at a time: bounds memory for long recordings


class LogMel(Extractor):
    """Natural logarithm of mel-band power, from spectra of periodic-Hann windows.

    Options: `window` and `hop` in samples (the transform is as long as the window), `n_mels` bands between `fmin` and
    `fmax` Hz (`fmax` None: half the sample rate), `floor`: power below which nothing is told apart (silence is
    log(floor)), `mel_scale` "slaney" (linear below 1 kHz; bands of equal area, as librosa and PANNs have them) or "htk"
    (2595 log10(1 + f/700); bands of equal height).

    Windows start at every multiple of the hop and lie wholly within the clip; a clip shorter than one window is padded
    with zeros to one frame.
    """

    def __init__(
        self,
        sample_rate: int,
        n_mels: int = 64,
        window: int = 1024,
        hop: int = 320,
        fmin: float = 50.0,
        fmax: float | None = None,
        floor: float = 1e-10,
        mel_scale: Scale = "slaney",
    ) -> None:
        super().__init__()
        top = sample_rate / 2 if fmax is None else fmax
        if min(n_mels, window, hop) < 1 or floor <= 0 or not 0 <= fmin < top <= sample_rate / 2:
            raise EspretError(
                f"front end logmel: n_mels {n_mels}, window {window}, hop {hop}, floor {floor}, fmin {fmin}, fmax {top}"
                f"; expected positive sizes and floor, and 0 <= fmin < fmax <= {sample_rate / 2:g} (half the rate)"
            )
        self.sample_rate, self.dim, self.window, self.hop, self.floor = sample_rate, n_mels, window, hop, floor
        self.hop_seconds = hop / sample_rate
        bands = slaney_bands(sample_rate, window, n_mels, fmin, top, mel_scale, mel_scale == "slaney").float()
        silent = int((bands.amax(dim=0) == 0).sum())
        if silent:
            raise EspretError(
                f"front end logmel: {silent} of {n_mels} mel bands lie between the {sample_rate / window:.1f} Hz lines "
                f"of a window of {window} samples; expected fewer n_mels or a longer window"
            )
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("hann", torch.hann_window(window, periodic=True), persistent=False)
        self.bands: Tensor
        self.hann: Tensor

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return 1 + max(0, samples - self.window) // self.hop

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, n_mels], float32 under autocast too."""
        if samples.shape[-1] < self.window:
            samples = pad(samples, (0, self.window - samples.shape[-1]))
        count = self.frames(samples.shape[-1])
        with torch.autocast(samples.device.type, enabled=False):
            parts = [self._part(samples, first, min(first + FRAMES, count)) for first in range(0, count, FRAMES)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _part(self, samples: Tensor, first: int, last: int) -> Tensor:
        """Frames first..last-1."""
        stretch = samples[:, first * self.hop : (last - 1) * self.hop + self.window]
        spectra = torch.stft(stretch, self.window, self.hop, window=self.hann, center=False, return_complex=True)
        power = spectra.real.square() + spectra.imag.square()
        return torch.log(torch.clamp(power.transpose(1, 2) @ self.bands, min=self.floor))
