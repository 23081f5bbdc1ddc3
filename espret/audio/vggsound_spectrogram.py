"""The spectrogram that VGGSound's networks see. The networks themselves are in `espret.audio.vggsound`.

Source: hche11/VGGSound on GitHub, datasets/dataloader.py.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from espret.audio.network import Extractor, check_rate

RATE, WINDOW, HOP = 16000, 512, 159  # Hz; samples
LINES = WINDOW // 2 + 1
TAPER = 64  # samples of the window's slope on either side: Tukey's window with a quarter of cosine
FLOOR = 1e-7  # power density below which nothing is told apart
EPSILON = 1e-9  # added to the deviation
REPEATS, SECONDS = 10, 10  # short clips are repeated ten times at most, up to ten seconds
FRAMES = 1 << 10  # spectra computed at a time: bounds memory for long recordings, and stays in a CPU's cache


class VggSoundSpectrogram(Extractor):
    """Log power densities of 257 lines every 9.9 ms (100.6 a second), of mean 0 and deviation 1 over the clip.

    ln(density + 1e-7) as scipy.signal.spectrogram has the density: Tukey windows (0.25) of 512 samples, every 159,
    each freed of its mean. Clips are repeated, ten times at most and up to 10 s, and clipped to -1..1. `clip_seconds`:
    10 cuts them to their first 10 s, as the reference does; 0 leaves longer ones whole. A clip of fewer than 52
    samples, too few even ten times, is repeated until it fills a window (the reference fails, or shrinks the window).

    Computed in double precision, without which nearly silent clips become noise; digital silence becomes zeros.
    """

    def __init__(self, sample_rate: int, clip_seconds: Literal[0, 10] = 10) -> None:
        super().__init__()
        self.sample_rate = check_rate("vggsound_spectrogram", sample_rate, RATE)
        self.dim, self.hop_seconds, self.clip_seconds = LINES, HOP / RATE, clip_seconds
        window = tukey()
        # One-sided: each line but the first and the last stands for two.
        sides = torch.full((LINES,), 2.0, dtype=torch.float64)
        sides[[0, -1]] = 1.0
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("scale", sides / (RATE * window.square().sum() * FLOOR), persistent=False)
        self.window: Tensor
        self.scale: Tensor

    def repeated(self, samples: int) -> int:
        """Samples that are heard of a clip of `samples`."""
        full = SECONDS * RATE
        if samples >= full:
            return full if self.clip_seconds else samples
        return max(WINDOW, min(REPEATS * samples, full))

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return 1 + (self.repeated(samples) - WINDOW) // HOP

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, 257] float32."""
        count, length = self.frames(samples.shape[1]), self.repeated(samples.shape[1])
        if length > samples.shape[1]:
            samples = samples.repeat(1, -(-length // samples.shape[1]))
        windows = samples[:, :length].clamp(-1, 1).unfold(1, WINDOW, HOP)
        step = max(1, FRAMES // len(samples))
        with torch.autocast(samples.device.type, enabled=False):
            logs = torch.empty(len(samples), count, LINES, dtype=torch.float64, device=samples.device)
            for first in range(0, count, step):
                logs[:, first : first + step] = self._part(windows[:, first : first + step])
            logs -= logs.mean(dim=(1, 2), keepdim=True)
            deviation = torch.linalg.vector_norm(logs, dim=(1, 2), keepdim=True) / math.sqrt(count * LINES)
            return logs.div_(deviation + EPSILON).float()

    def _part(self, windows: Tensor) -> Tensor:
        """[batch, frames, 512] -> [batch, frames, 257] float64: ln(1 + density / floor), 0 for silence."""
        windows = windows.to(torch.float64, copy=True)
        windows.sub_(windows.mean(dim=2, keepdim=True)).mul_(self.window)
        spectra = torch.fft.rfft(windows)
        return spectra.real.square().addcmul_(spectra.imag, spectra.imag).mul_(self.scale).log1p_()


def tukey() -> Tensor:
    """[512] float64: Tukey's window, periodic: a slope of half a cosine at its beginning, as before its repetition."""
    window = torch.ones(WINDOW, dtype=torch.float64)
    slope = torch.arange(TAPER, dtype=torch.float64) / TAPER
    window[:TAPER] = 0.5 - 0.5 * torch.cos(torch.pi * slope)
    window[WINDOW - TAPER + 1 :] = window[1:TAPER].flip(0)
    return window
