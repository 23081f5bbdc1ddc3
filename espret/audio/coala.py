"""COALA: embeddings of 2.2 s chunks by the audio encoder of a network that learnt to bring sounds and their tags together.

Favory et al., "COALA: Co-aligned autoencoders for learning semantically enriched audio representations", 2020; code and
weights github.com/xavierfav/coala (MIT). The constants of its scaler are in `espret.audio.coala_scaler`; reading the files of
weights lives in `espret.audio.checkpoint`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchaudio.functional import melscale_fbanks

from espret.audio.coala_scaler import MIN, SCALE
from espret.audio.fused import run_fused
from espret.audio.network import Extractor, check_rate
from espret.audio.patches import PatchExtractor
from espret.errors import EspretError

RATE = 22000  # Hz, not 22050
FFT, HOP, BANDS, CHUNK = 1024, 512, 96, 96  # samples, samples, bands, frames
SHORT = 10 * RATE  # samples that a clip is padded to
NOISE = 5e-4  # added to such a clip: uniform between 0 and this
FLOOR = 2.0**-23  # added before the logarithm: float32's epsilon
WIDTH, DIM = 128, 1152  # channels; values of an embedding: channels by 3 (mel) by 3 (time)
TAGS = 1000
PART = 1 << 12  # spectra computed at a time: bounds memory for long recordings


class CoalaLogMel(Extractor):
    """ln(magnitude + 2^-23) of 96 mel bands (Slaney) between 0 and 11 kHz, 1024 samples every 512, mirrored at the ends.

    A clip of up to 10 s is padded to 10 s with zeros. The reference adds noise to such clips, other noise each time:
    with `noise` it is added here too, always the same. (The reference's mirrored ends are those of librosa before 0.10.)
    """

    def __init__(self, sample_rate: int, noise: bool = False) -> None:
        super().__init__()
        self.sample_rate, self.dim, self.hop_seconds = check_rate("coala", sample_rate, RATE), BANDS, HOP / RATE
        bands = melscale_fbanks(FFT // 2 + 1, 0.0, RATE / 2, BANDS, RATE, "slaney", "slaney")
        hiss = NOISE * torch.rand(SHORT, generator=torch.Generator().manual_seed(0)) if noise else torch.zeros(1)
        for name, buffer in (("bands", bands), ("hiss", hiss), ("hann", torch.hann_window(FFT, periodic=True))):
            self.register_buffer(name, buffer, persistent=False)
        self.bands: Tensor
        self.hiss: Tensor
        self.hann: Tensor

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`: at least 430, of 10 s."""
        return 1 + max(samples, SHORT) // HOP

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, 96] float32."""
        length = samples.shape[-1]
        with torch.autocast(samples.device.type, enabled=False):
            samples = samples.float()
            if length <= SHORT:
                samples = pad(samples, (0, SHORT - length)) + self.hiss
            samples = pad(samples, (FFT // 2, FFT // 2), "reflect")
            count = self.frames(length)
            return torch.cat([self._part(samples, at, min(at + PART, count)) for at in range(0, count, PART)], dim=1)

    def _part(self, samples: Tensor, first: int, last: int) -> Tensor:
        """Frames first..last-1."""
        stretch = samples[:, first * HOP : (last - 1) * HOP + FFT]
        spectra = torch.stft(stretch, FFT, HOP, window=self.hann, center=False, return_complex=True).transpose(1, 2)
        magnitude = torch.addcmul(spectra.real.square(), spectra.imag, spectra.imag).sqrt_()
        return (magnitude @ self.bands).add_(FLOOR).log_()


def scaled(logmel: Tensor, hop: int) -> Tensor:
    """Chunks of 96 frames, `hop` frames apart, for the networks: [batch, frames, 96] -> [batch, chunks, 96 mel, 96].

    The scaler of the reference acts along time: each place in a chunk has its constants, whatever the band.
    """
    chunks = logmel.unfold(1, CHUNK, hop)
    return torch.addcmul(logmel.new_tensor(MIN), chunks, logmel.new_tensor(SCALE))


def _encoder() -> nn.Sequential:
    """[chunks, 1, 96 mel, 96 frames] -> [chunks, 1152]."""
    layers: list[nn.Module] = []
    for inside in (1, WIDTH, WIDTH, WIDTH, WIDTH):
        convolution = nn.Conv2d(inside, WIDTH, 4, stride=2, padding=1)
        layers += [convolution, nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True), nn.Dropout(0.25)]
    return nn.Sequential(*layers, nn.Flatten())


class CoalaEncoder(nn.Module):
    """The audio encoder that was aligned with tags, without (`dual_e_c`) or with (`dual_ae_c`) decoders beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = _encoder()
        self.fc_audio = nn.Sequential(nn.Linear(DIM, DIM, bias=False), nn.Dropout(0.25))

    def forward(self, chunks: Tensor) -> tuple[Tensor, Tensor]:
        """[chunks, 96 mel, 96 frames], scaled -> embeddings [chunks, 1152], and what is aligned [chunks, 1152]."""
        embeddings = run_fused(self.audio_encoder, chunks[:, None])
        return embeddings, self.fc_audio(embeddings)


class CoalaCnn(nn.Module):
    """The baseline, which was trained to tag."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.fc = nn.Sequential(nn.Linear(DIM, DIM), nn.ReLU(), nn.Linear(DIM, TAGS), nn.Sigmoid())

    def forward(self, chunks: Tensor) -> tuple[Tensor, Tensor]:
        """[chunks, 96 mel, 96 frames], scaled -> embeddings [chunks, 1152], and probabilities of tags [chunks, 1000]."""
        embeddings = run_fused(self.encoder, chunks[:, None])
        return embeddings, self.fc(embeddings)
