#!/usr/bin/env python3
"""Stage 1's front ends, and resampling, against other implementations of the same, on the same waveforms.

    tools/bench/frontends.py [NAME ...] [--batch N,N] [--rounds K] [--threads T] [--device cuda]

Prints clips/s, how many times as fast espret is, and by how much the outputs differ. Those who prepare their filters at
each call, as published, do it here too (hear21passt, torchaudio.functional.resample); others have them made before.
librosa, scipy and soxr run on the CPU only. Filters of soxr are other ones, and torchaudio's HTK bands are straight in
Hz instead of mel, so that these differ. Peers that are not installed are left out and named.
"""

from __future__ import annotations

import argparse
import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import turns
from torch import Tensor
from torch.nn.functional import pad

from espret.audio import FRONTENDS
from espret.config import build

Maker = Callable[[Tensor], turns.Contestant]
MelMaker = Callable[[Any, Tensor], turns.Contestant]  # of a Mel


class Mel(NamedTuple):
    """A log-mel spectrogram, as others call its parameters."""

    rate: int
    n_fft: int
    hop: int
    bands: int
    fmin: float
    fmax: float
    window: int  # samples; in the middle of the transform
    center: bool = False  # at multiples of the hop, the clip mirrored
    scale: str = "slaney"
    power: int = 2
    floor: float = 0.0  # what is less becomes this ...
    offset: float = 0.0  # ... or this is added, before the logarithm
    decibels: bool = False
    zeros: tuple[int, int] = (0, 0)  # put before and after the clip

    def log(self, library: types.ModuleType, mel: Any) -> Any:
        """The logarithm of bands, by numpy or torch."""
        above = mel.clip(self.floor) if self.floor else mel + self.offset
        return 10 * library.log10(above) if self.decibels else library.log(above)


LOGMEL = Mel(16000, 1024, 320, 64, 50, 8000, 1024, floor=1e-10)
PANNS = Mel(32000, 1024, 320, 64, 50, 14000, 1024, center=True, floor=1e-10, decibels=True)
COALA = Mel(22000, 1024, 512, 96, 0, 11000, 1024, center=True, power=1, offset=2.0**-23)
VGGISH = Mel(16000, 512, 160, 64, 125, 7500, 400, scale="htk", power=1, offset=0.01, zeros=(56, 56))
YAMNET = VGGISH._replace(offset=0.001, zeros=(56, 56 + 1520))  # 20 patches end 1520 samples after 10 s


def espret(name: str, rate: int, waves: Tensor) -> turns.Contestant:
    front = build(FRONTENDS, {"type": name}, sample_rate=rate).eval().to(waves.device)
    return turns.Contestant("espret", lambda: front(waves))


def torchaudio(mel: Mel, waves: Tensor) -> turns.Contestant:
    from torchaudio.transforms import MelSpectrogram

    transform = MelSpectrogram(
        sample_rate=mel.rate,
        n_fft=mel.n_fft,
        win_length=mel.window,
        hop_length=mel.hop,
        f_min=mel.fmin,
        f_max=mel.fmax,
        n_mels=mel.bands,
        power=mel.power,
        center=mel.center,
        norm="slaney" if mel.scale == "slaney" else None,
        mel_scale=mel.scale,
    ).to(waves.device)

    def run() -> Tensor:
        return mel.log(torch, transform(pad(waves, mel.zeros) if any(mel.zeros) else waves))

    return turns.Contestant(turns.version("torchaudio"), run, lambda found: found.transpose(1, 2))


def torchlibrosa(mel: Mel, waves: Tensor) -> turns.Contestant:
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    spectrogram = Spectrogram(mel.n_fft, mel.hop, mel.window, center=mel.center, pad_mode="reflect")
    bank = LogmelFilterBank(mel.rate, mel.n_fft, mel.bands, mel.fmin, mel.fmax, amin=mel.floor, top_db=None)
    transform = torch.nn.Sequential(spectrogram, bank).to(waves.device)
    unit = 1 if mel.decibels else np.log(10) / 10
    return turns.Contestant(
        turns.version("torchlibrosa"), lambda: transform(waves), lambda found: found.squeeze(1) * unit
    )


def librosa(mel: Mel, waves: Tensor) -> turns.Contestant:
    import librosa

    bank = librosa.filters.mel(sr=mel.rate, n_fft=mel.n_fft, n_mels=mel.bands, fmin=mel.fmin, fmax=mel.fmax)
    samples = waves.numpy()

    def run() -> np.ndarray:
        spectra = librosa.stft(
            samples, n_fft=mel.n_fft, hop_length=mel.hop, win_length=mel.window, center=mel.center, pad_mode="reflect"
        )
        return mel.log(np, bank @ np.abs(spectra) ** mel.power)

    return turns.Contestant(turns.version("librosa"), run, lambda found: torch.from_numpy(found).transpose(1, 2))


def torchvggish(mel: Mel, waves: Tensor) -> turns.Contestant:
    from torchvggish.mel_features import log_mel_spectrogram

    samples = pad(waves, [end - 56 for end in mel.zeros]).double().numpy()
    options = {
        "audio_sample_rate": mel.rate,
        "log_offset": mel.offset,
        "window_length_secs": mel.window / mel.rate,
        "hop_length_secs": mel.hop / mel.rate,
        "num_mel_bins": mel.bands,
        "lower_edge_hertz": mel.fmin,
        "upper_edge_hertz": mel.fmax,
    }
    return turns.Contestant(
        turns.version("torchvggish"), lambda: np.stack([log_mel_spectrogram(clip, **options) for clip in samples])
    )


def hear21passt(waves: Tensor) -> turns.Contestant:
    from hear21passt.models.preprocess import AugmentMelSTFT

    front = AugmentMelSTFT(fmin_aug_range=10, fmax_aug_range=2000, fmax=15000).eval().to(waves.device)
    return turns.Contestant(turns.version("hear21passt"), lambda: front(waves), lambda found: found.transpose(1, 2))


def scipy(waves: Tensor) -> turns.Contestant:
    from scipy.signal import spectrogram

    samples = waves.double().numpy()

    def one(clip: np.ndarray) -> np.ndarray:
        _, _, density = spectrogram(np.clip(clip, -1, 1), 16000, nperseg=512, noverlap=353)
        logs = np.log(density + 1e-7)
        return ((logs - logs.mean()) / (logs.std() + 1e-9)).T

    return turns.Contestant(turns.version("scipy"), lambda: np.stack([one(clip) for clip in samples]))


def resampled(source: int, target: int, waves: Tensor) -> list[Callable[[], turns.Contestant]]:
    """Those who resample, clip by clip, as clips are read."""
    from torchaudio.functional import resample as function
    from torchaudio.transforms import Resample

    from espret.data.audio import ROLLOFF, ZEROS, resample

    options = {
        "lowpass_filter_width": ZEROS,
        "rolloff": ROLLOFF,
        "resampling_method": "sinc_interp_kaiser",
        "beta": 14.769656459379492,
    }

    def clip_by_clip(name: str, one: Callable[[Any], Any], clips: Any) -> turns.Contestant:
        return turns.Contestant(
            name, lambda: [one(clip) for clip in clips], lambda found: torch.stack([torch.as_tensor(x) for x in found])
        )

    def with_soxr(quality: str) -> turns.Contestant:
        import soxr

        name = f"{turns.version('soxr')} {quality}"
        return clip_by_clip(name, lambda clip: soxr.resample(clip, source, target, quality), waves.numpy())

    transform = Resample(source, target, **options)
    name = turns.version("torchaudio")
    return [
        lambda: clip_by_clip("espret", lambda clip: resample(clip, source, target), waves.numpy()),
        lambda: clip_by_clip(f"{name} function", lambda clip: function(clip, source, target, **options), waves),
        lambda: clip_by_clip(f"{name} transform", transform, waves),
        *(functools.partial(with_soxr, quality) for quality in ("HQ", "VHQ")),
    ]


class Comparison(NamedTuple):
    """Who makes the same of waveforms at `rate` Hz as a front end of espret."""

    rate: int
    peers: list[Maker]
    on_cpu: list[Maker]  # peers without a GPU


def _of(mel: Mel, peers: list[MelMaker], on_cpu: list[MelMaker]) -> Comparison:
    def bound(makers: list[MelMaker]) -> list[Maker]:
        return [functools.partial(maker, mel) for maker in makers]

    return Comparison(mel.rate, bound(peers), bound(on_cpu))


FRONT_ENDS = {
    "logmel": _of(LOGMEL, [torchlibrosa, torchaudio], [librosa]),
    "panns_logmel": _of(PANNS, [torchlibrosa, torchaudio], [librosa]),
    "vggish_logmel": _of(VGGISH, [torchaudio], [torchvggish]),
    "yamnet_logmel": _of(YAMNET, [torchaudio], [torchvggish]),
    "passt_mel": Comparison(32000, [hear21passt], []),
    "vggsound_spectrogram": Comparison(16000, [], [scipy]),
    "coala_logmel": _of(COALA, [torchaudio], [librosa]),
}
RATES = {f"resample_{source}_{target}": (source, target) for source, target in [(44100, 32000), (48000, 16000)]}


def bench(name: str, clips: int, options: argparse.Namespace, absent: dict[str, str]) -> list[str]:
    """One comparison; returns the peers that are faster."""
    if name in RATES:
        makers = resampled(*RATES[name], turns.waves(clips, RATES[name][0]))
    else:
        rate, peers, on_cpu = FRONT_ENDS[name]
        waves = turns.waves(clips, rate, options.device)
        found: list[Maker] = [
            functools.partial(espret, name, rate),
            *peers,
            *(on_cpu if options.device == "cpu" else []),
        ]
        makers = [functools.partial(maker, waves) for maker in found]
    return turns.compare(name, turns.present(makers, absent), clips, options)


def main() -> None:
    names = [*FRONT_ENDS, *RATES]
    options = turns.parser(__doc__, names).parse_args()
    turns.prepare(options)
    absent: dict[str, str] = {}
    slower = []
    for name in turns.chosen(options, names):
        if name in FRONT_ENDS:
            slower += [line for clips in options.batch for line in bench(name, clips, options, absent)]
        elif options.device == "cpu":  # where clips are resampled, one by one
            slower += bench(name, 1, options, absent)
    turns.report(slower, absent)


if __name__ == "__main__":
    main()
