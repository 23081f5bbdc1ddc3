"""COALA's front end, its networks, and both together: embeddings of 2.2 s chunks by an audio encoder."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from espret.audio.checkpoint import load_network
from espret.audio.coala.scaler import MIN, SCALE
from espret.audio.fused import run_fused
from espret.audio.mel import slaney_bands
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
    """ln(magnitude + 2^-23) of 96 mel bands (Slaney) between 0 and 11 kHz, of 1024 samples every 512, centred.

    The clip is mirrored at its ends, as librosa before 0.10 did. A clip of up to 10 s is first padded to 10 s with
    zeros; the reference adds noise to such clips, other noise each time: with `noise` it is added here too, always the
    same.
    """

    def __init__(self, sample_rate: int, noise: bool = False) -> None:
        super().__init__()
        self.sample_rate, self.dim, self.hop_seconds = check_rate("coala", sample_rate, RATE), BANDS, HOP / RATE
        bands = slaney_bands(RATE, FFT, BANDS, 0, RATE / 2).float()
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


def scaled(chunks: Tensor) -> Tensor:
    """Log-mel chunks [..., 96 mel, 96 frames] as the networks take them, about 0..1.

    The reference's scaler acts along time: each frame of a chunk has its constants, whatever the band.
    """
    return torch.addcmul(chunks.new_tensor(MIN), chunks, chunks.new_tensor(SCALE))


def _encoder() -> nn.Sequential:
    """[chunks, 1, 96 mel, 96 frames] -> [chunks, 1152]."""
    layers: list[nn.Module] = []
    for inside in (1, WIDTH, WIDTH, WIDTH, WIDTH):
        convolution = nn.Conv2d(inside, WIDTH, 4, stride=2, padding=1)
        layers += [convolution, nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True), nn.Dropout(0.25)]
    # Channels last: twice as fast on CPU.
    return nn.Sequential(*layers, nn.Flatten()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class CoalaDualBody(nn.Module):
    """The audio encoder that was aligned with one of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = _encoder()
        self.fc_audio = nn.Sequential(nn.Linear(DIM, DIM, bias=False), nn.Dropout(0.25))

    def forward(self, chunks: Tensor) -> tuple[Tensor, Tensor]:
        """[chunks, 96 mel, 96 frames], scaled -> embeddings [chunks, 1152], and what is aligned [chunks, 1152]."""
        embeddings = run_fused(self.audio_encoder, chunks[:, None])
        return embeddings, self.fc_audio(embeddings)


class CoalaCnnBody(nn.Module):
    """The baseline, which was trained to tag."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.fc = nn.Sequential(nn.Linear(DIM, DIM), nn.ReLU(), nn.Linear(DIM, TAGS), nn.Sigmoid())

    def forward(self, chunks: Tensor) -> tuple[Tensor, Tensor]:
        """[chunks, 96 mel, 96 frames], scaled -> embeddings [chunks, 1152], probabilities of tags [chunks, 1000]."""
        embeddings = run_fused(self.encoder, chunks[:, None])
        return embeddings, self.fc(embeddings)


class Coala(PatchExtractor):
    """A frozen COALA network at 22 kHz: one frame for each chunk of 96 frames (2.23 s), `hop` frames apart.

    `hop`: 96 for chunks side by side, 48 for chunks that overlap by half; what is left at the end is dropped. Clips of
    up to 10 s are padded to 10 s with zeros (4 chunks side by side). `output`: "embedding" (1152: 128 channels by 3 in
    mel by 3 in time), or "head", what the layers behind it make. `noise`: as CoalaLogMel. Memory: 64 chunks at a time
    take 0.15 GB; beside these, an hour takes 0.7 GB for its samples and a padded copy, and 60 MB for its spectrogram.
    """

    variant: ClassVar[str]
    body_type: ClassVar[type[CoalaDualBody] | type[CoalaCnnBody]] = CoalaDualBody
    at_a_time = 64

    def __init__(
        self,
        sample_rate: int,
        checkpoint: str = "official",
        hop: int = CHUNK,
        output: Literal["embedding", "head"] = "embedding",
        noise: bool = False,
    ) -> None:
        super().__init__()
        if hop < 1:
            raise EspretError(
                f"front end {self.variant}: hop is {hop}; expected frames between chunks, such as 96 or 48"
            )
        self.front, self.hop, self.output = CoalaLogMel(sample_rate, noise), hop, output
        self.sample_rate, self.hop_seconds = sample_rate, hop * HOP / RATE
        self.dim = TAGS if output == "head" and self.body_type is CoalaCnnBody else DIM
        self.body, self.provenance = load_network(self.variant, checkpoint, self.body_type)

    def frames(self, samples: int) -> int:
        """Chunks that are made of a clip of `samples`."""
        return 1 + (self.front.frames(samples) - CHUNK) // self.hop

    def patches(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> log-mel [batch, chunks, 96 mel, 96 frames]."""
        return self.front(samples).unfold(1, CHUNK, self.hop)

    def embed(self, patches: Tensor) -> Tensor:
        """Log-mel [chunks, 96 mel, 96 frames] -> [chunks, dim] float32."""
        embeddings, head = self.body(scaled(patches))
        return (embeddings if self.output == "embedding" else head).float()


class CoalaDualAeC(Coala):
    """The encoder that was aligned with tags while decoders restored spectrograms and tags; head: what is aligned."""

    variant = "coala_dual_ae_c"


class CoalaDualEC(Coala):
    """The encoder that was aligned with tags, without decoders; head: what is aligned."""

    variant = "coala_dual_e_c"


class CoalaCnn(Coala):
    """The baseline, which was trained to tag; head: probabilities of 1000 tags."""

    variant, body_type = "coala_cnn", CoalaCnnBody
