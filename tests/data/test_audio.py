from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.data import audio
from espret.data.audio import AudioError, AudioInfo, check_clip, load_clip, probe, read_audio, resample

WriteTone = Callable[..., Path]
FORMATS = ["wav", "flac", "ogg", "mp3"]


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1), (48000, 2)])
def test_formats_rates_and_channels(write_tone: WriteTone, extension: str, rate: int, channels: int) -> None:
    path = write_tone(f"clip.{extension}", 0.5, rate, channels)
    info = probe(path)
    assert info == AudioInfo(rate // 2, rate, channels)
    samples, read_rate = read_audio(path)
    assert (samples.shape, samples.dtype, read_rate) == ((rate // 2, channels), np.float32, rate)
    clip = load_clip(path, 16000)
    assert clip.shape == (8000,) and clip.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(8000)))
    assert abs(int(spectrum.argmax()) * 2 - 440) <= 2  # bins are 2 Hz
    assert 0.45 < np.abs(clip[2000:6000]).max() < 0.55
    assert check_clip(path) is None


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
def test_six_channels_at_48_khz(tmp_path: Path, extension: str) -> None:
    channels = np.linspace(-0.5, 0.5, 6, dtype=np.float32)
    samples = np.sin(np.arange(24000) / 20)[:, None] * channels + 0.1
    path = tmp_path / f"six.{extension}"
    soundfile.write(path, samples, 48000)
    assert probe(path) == AudioInfo(24000, 48000, 6)
    assert read_audio(path)[0].shape == (24000, 6)
    clip = load_clip(path, 16000)  # the channels cancel but for the offset
    assert np.abs(clip[1000:-1000] - 0.1).max() < (0.1 if extension == "ogg" else 0.001)


@pytest.mark.parametrize("name", range(8))
def test_odd_file_names(tmp_path: Path, odd_names: list[str], name: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = f"{odd_names[name]}.wav"
    soundfile.write(os.path.abspath(path), np.zeros(100, np.float32), 8000)
    assert probe(path).frames == 100 and check_clip(path) is None


@pytest.mark.parametrize("extension", FORMATS)
def test_segments_of_a_recording(write_tone: WriteTone, extension: str) -> None:
    path = write_tone(f"long.{extension}", 3.0, 16000)
    whole = load_clip(path, 16000)
    part = load_clip(path, 16000, 1.0, 1.5)
    assert part.shape == (8000,)
    np.testing.assert_allclose(part[500:7500], whole[16500:23500], atol=1e-3)
    assert load_clip(path, 16000, 2.5, 9.0).shape == (8000,)  # to the end of the recording
    with pytest.raises(AudioError, match="before the segment's start 4.000 s"):
        load_clip(path, 16000, 4.0, 5.0)


@pytest.mark.parametrize("extension", FORMATS)
def test_blocks_make_up_the_file(write_tone: WriteTone, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For mp3 too, where soundfile alone gives silence and noise at the start of each block."""
    path = write_tone(f"clip.{extension}", 3.0, 16000, 2)
    whole = soundfile.read(path, dtype="float32")[0]
    monkeypatch.setattr(audio, "BLOCK", 7777)
    np.testing.assert_allclose(read_audio(path)[0], whole, atol=1e-6)
    np.testing.assert_allclose(load_clip(path, 16000), whole.mean(axis=1), atol=1e-6)
    assert check_clip(path) is None


@pytest.mark.parametrize(
    ("source", "target"), [(8000, 16000), (48000, 16000), (44100, 32000), (11025, 16000), (22050, 44100)]
)
def test_resampling_keeps_what_fits_and_removes_what_does_not(source: int, target: int) -> None:
    times = np.arange(source) / source
    low = np.sin(2 * np.pi * 1000 * times).astype(np.float32)
    out = resample(low, source, target)
    assert out.shape == (target,) and out.dtype == np.float32
    expected = np.sin(2 * np.pi * 1000 * np.arange(target) / target)
    assert np.abs(out - expected)[target // 10 : -target // 10].max() < 2e-3
    if source > target:
        high = np.sin(2 * np.pi * (target * 0.54) * times).astype(np.float32)  # just above the new Nyquist frequency
        assert np.abs(resample(high, source, target))[target // 10 : -target // 10].max() < 1e-3


@pytest.mark.parametrize(("source", "target"), [(44100, 16000), (8000, 48000), (48000, 16000)])
@pytest.mark.parametrize("stretch", [777, 5000])
def test_resampling_by_stretches_changes_nothing(
    source: int, target: int, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 44100 // 4 + 13).astype(np.float32)
    whole = resample(samples, source, target)
    monkeypatch.setattr(audio, "STRETCH", stretch)
    np.testing.assert_allclose(resample(samples, source, target), whole, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), [(16001, 16000), (44099, 16000), (192000, 16001)])
def test_rates_without_a_common_divisor(source: int, target: int) -> None:
    samples = np.sin(2 * np.pi * 440 * np.arange(source // 4) / source).astype(np.float32)
    out = resample(samples, source, target)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(out)) / target)
    assert abs(len(out) - target / 4) <= 1
    assert np.abs(out - expected)[500:-500].max() < 5e-3


# ------------------------------------------------------------------------------------------------- what is wrong


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def noise(path: Path, seconds: float = 3.0, rate: int = 16000, **options: str) -> Path:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("extension", [*FORMATS, "opus", "aiff", "au"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97, 0.999])
def test_a_cut_file_is_truncated(tmp_path: Path, extension: str, share: float) -> None:
    options = {"format": "OGG", "subtype": "OPUS"} if extension == "opus" else {}
    path = noise(tmp_path / f"x.{extension}", **options)
    assert check_clip(path) is None
    reason = check_clip(cut(path, share))
    assert reason is not None and reason.startswith("truncated: "), reason


def test_counts_of_a_truncated_file(tmp_path: Path) -> None:
    path = noise(tmp_path / "x.wav", 1.0)
    cut(path, 0.5)
    assert check_clip(path) == "truncated: header says 16000 frames, 7989 decoded"
    path = noise(tmp_path / "x.mp3")
    frames = probe(path).frames
    reason = check_clip(cut(path, 0.5))
    assert reason is not None and reason.startswith(f"truncated: header says {frames} frames, ") and "decoded" in reason


@pytest.mark.parametrize("extension", FORMATS)
def test_a_cut_file_is_an_audio_error_or_short(tmp_path: Path, extension: str) -> None:
    """Reading what is cut never crashes: it says so, or gives what is there."""
    path = cut(noise(tmp_path / f"x.{extension}"), 0.5)
    try:
        assert 0 < len(load_clip(path, 16000)) < 48000
    except AudioError as error:
        assert error.reason.startswith("truncated: ")


def test_reasons(tmp_path: Path) -> None:
    assert check_clip(tmp_path / "nothing.wav") == "missing"
    assert check_clip(tmp_path / "nothing.wav" / "x.wav") == "missing"
    (tmp_path / "empty.wav").touch()
    assert check_clip(tmp_path / "empty.wav") == "empty: a file of 0 bytes"
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 8000)
    assert check_clip(tmp_path / "none.wav") == "empty: 0 frames"
    (tmp_path / "text.wav").write_text("this is no audio\n" * 100)
    assert str(check_clip(tmp_path / "text.wav")).startswith("not audio: ")
    (tmp_path / "text.raw").write_text("this is no audio\n" * 100)
    assert str(check_clip(tmp_path / "text.raw")).startswith("not audio: ")
    (tmp_path / "folder.wav").mkdir()
    assert check_clip(tmp_path / "folder.wav") == "not audio: not a regular file"
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for ever
    assert check_clip(tmp_path / "pipe.wav") == "not audio: not a regular file"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    samples = np.zeros(5000, np.float32)
    samples[4321] = value
    soundfile.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    assert check_clip(tmp_path / "x.wav") == "NaN or infinite samples"


def test_probe_names_path_and_reason(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="gone.flac: missing") as error:
        probe(tmp_path / "gone.flac")
    assert error.value.reason == "missing"


def test_garbage_never_crashes(tmp_path: Path) -> None:
    """Bytes changed anywhere in a file give a reason or a clip, never another exception."""
    rng = np.random.default_rng(0)
    for extension in FORMATS:
        good = noise(tmp_path / f"x.{extension}", 0.3).read_bytes()
        for _ in range(40):
            data = bytearray(good)
            for position in rng.integers(0, min(len(data), 2000), 8):
                data[position] = rng.integers(256)
            path = tmp_path / f"y.{extension}"
            path.write_bytes(data)
            assert check_clip(path) is None or check_clip(path)


@pytest.mark.skipif("ESPRET_TEST_DATA" not in os.environ, reason="ESPRET_TEST_DATA names no folder of real audio")
def test_real_clips() -> None:
    root = Path(os.environ["ESPRET_TEST_DATA"]) / "audio"
    for folder, rates in (("esc50", {44100}), ("audiocaps", {32000, 22050}), ("clotho", {44100})):
        paths = sorted(path for path in (root / folder).rglob("*") if path.is_file())[:8]
        assert len(paths) == 8
        for path in paths:
            info = probe(path)
            assert info.sample_rate in rates and check_clip(path) is None
            clip = load_clip(path, 16000)
            assert abs(len(clip) - info.frames * 16000 / info.sample_rate) <= 1
            assert np.isfinite(clip).all() and np.abs(clip).max() > 0
