"""The front end that leaves sound as it is, for systems whose network hears waveforms."""

from __future__ import annotations

from torch import Tensor

from espret.audio.network import Extractor


class Waveform(Extractor):
    """The samples themselves: a frame of one value each, at `features.sample_rate`.

    `features.dtype: flac` stores them as 16-bit flac.
    """

    dim = 1

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_seconds = 1 / sample_rate

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`: as many."""
        return samples

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> [batch, samples, 1]."""
        return samples[..., None]
