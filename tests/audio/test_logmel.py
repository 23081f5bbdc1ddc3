from __future__ import annotations

import math

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from espret.audio import FRONTENDS, logmel
from espret.audio.logmel import LogMel
from espret.config import build
from espret.errors import EspretError


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_equals_torchaudio(scale: str) -> None:
    peer = MelSpectrogram(
        16000, 1024, hop_length=320, f_min=50, n_mels=64, center=False, mel_scale=scale,
        norm="slaney" if scale == "slaney" else None,
    )  # fmt: skip
    samples = noise(3, 20000)
    expected = torch.log(torch.clamp(peer(samples), min=1e-10)).transpose(1, 2)
    found = LogMel(16000, mel_scale=scale)(samples)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("samples", [1, 1023, 1024, 1343, 1344, 16000, 48000])
def test_frames(samples: int) -> None:
    frontend = LogMel(16000, n_mels=40)
    out = frontend(noise(2, samples))
    assert out.shape == (2, frontend.frames(samples), frontend.dim) == (2, 1 + max(0, samples - 1024) // 320, 40)
    assert frontend.hop_seconds == 0.02


def test_silence_and_very_short_clips() -> None:
    frontend = LogMel(16000, floor=1e-6)
    assert torch.equal(frontend(torch.zeros(1, 5000)), torch.full((1, 13, 64), math.log(1e-6)))
    short = noise(1, 100)
    padded = torch.nn.functional.pad(short, (0, 924))
    assert torch.equal(frontend(short), frontend(padded))
    assert torch.isfinite(frontend(torch.zeros(1, 0))).all()


def test_a_tone_is_in_its_band() -> None:
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(16000) / 16000)[None]
    frontend = LogMel(16000)
    band = int(frontend(tone)[0].mean(dim=0).argmax())
    lines = frontend.bands[:, band].nonzero()[:, 0] * 16000 / 1024
    assert lines.min() <= 1000 <= lines.max()


def test_doubling_the_amplitude_adds_log_four() -> None:
    samples = noise(1, 4000)
    frontend = LogMel(16000)
    torch.testing.assert_close(frontend(2 * samples), frontend(samples) + math.log(4), atol=1e-5, rtol=0)


def test_a_batch_is_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(4, 9000)
    frontend = LogMel(16000)
    whole = frontend(samples)
    for item, one in zip(whole, samples):
        torch.testing.assert_close(frontend(one[None])[0], item, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(logmel, "FRAMES", 7)  # long recordings go piece by piece
    torch.testing.assert_close(frontend(samples), whole, atol=1e-5, rtol=1e-5)


def test_built_by_name() -> None:
    frontend = build(FRONTENDS, {"type": "logmel", "n_mels": 32, "hop": 160, "fmax": 7000}, sample_rate=16000)
    assert isinstance(frontend, LogMel) and frontend.dim == 32 and frontend.hop_seconds == 0.01
    for options, message in (
        ({"type": "logmle"}, "did you mean 'logmel'"),
        ({"type": "logmel", "mels": 3}, "unknown option 'mels'; did you mean 'n_mels'"),
        ({"type": "logmel", "n_mels": "many"}, "n_mels"),
        ({"type": "logmel", "mel_scale": "bark"}, "mel_scale"),
    ):
        with pytest.raises(EspretError, match=message):
            build(FRONTENDS, options, sample_rate=16000)


@pytest.mark.parametrize(
    "options", [{"fmax": 9000.0}, {"fmin": 5000.0, "fmax": 4000.0}, {"hop": 0}, {"floor": 0.0}, {"n_mels": 0}]
)
def test_impossible_options(options: dict[str, float]) -> None:
    with pytest.raises(EspretError, match="front end logmel: .*expected"):
        LogMel(16000, **options)  # type: ignore[arg-type]


def test_bands_too_narrow_for_the_window() -> None:
    with pytest.raises(EspretError, match="of 256 mel bands lie between the 31.2 Hz lines"):
        LogMel(16000, n_mels=256, window=512)
