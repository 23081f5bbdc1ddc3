"""Containers as other programs write them, put together byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.data.audio import AudioError, check_clip, load_clip, probe
from espret.data.truncation import _mpeg_frame

PCM = np.arange(8000, dtype="<i2").tobytes()


def wav(declared: int, riff: bytes = b"RIFF", extra: bytes = b"") -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    chunks = extra + b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", declared) + PCM
    return riff + struct.pack("<I", min(0xFFFFFFFF, 4 + len(chunks))) + b"WAVE" + chunks


@pytest.mark.parametrize("declared", [16000, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF - 36])
def test_wav_whole_or_from_a_stream(tmp_path: Path, declared: int) -> None:
    (tmp_path / "x.wav").write_bytes(wav(declared))
    assert check_clip(tmp_path / "x.wav") is None
    assert probe(tmp_path / "x.wav").frames == 8000


def test_wav_with_a_header_larger_than_the_data(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(20000))
    assert check_clip(tmp_path / "x.wav") == "truncated: header says 10000 frames, 8000 decoded"


def test_wav_with_chunks_around_the_data(tmp_path: Path) -> None:
    odd = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    (tmp_path / "x.wav").write_bytes(wav(16000, extra=odd) + odd)
    assert check_clip(tmp_path / "x.wav") is None


@pytest.mark.parametrize("size", [16000, 24000])
def test_rf64(tmp_path: Path, size: int) -> None:
    sizes = b"ds64" + struct.pack("<IQQQI", 28, 0, size, size // 2, 0)
    (tmp_path / "x.wav").write_bytes(wav(0xFFFFFFFF, b"RF64", sizes))
    expected = None if size == 16000 else "truncated: header says 12000 frames, 8000 decoded"
    assert check_clip(tmp_path / "x.wav") == expected


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT", "ULAW", "MS_ADPCM", "IMA_ADPCM", "GSM610"])
def test_wav_subtypes(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 8000, subtype=subtype)
    assert check_clip(path) is None
    path.write_bytes(path.read_bytes()[:-2000] if subtype != "GSM610" else path.read_bytes()[:-650])
    assert str(check_clip(path)).startswith("truncated: ")


def test_flac_without_a_length(tmp_path: Path) -> None:
    """As an encoder writes it to a pipe: the total of the STREAMINFO block is 0."""
    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 20000), 16000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    for read in (probe, lambda name: load_clip(name, 16000)):
        with pytest.raises(AudioError, match="gives no length"):
            read(path)
    assert "gives no length" in str(check_clip(path))


@pytest.mark.parametrize("rate", [16000, 44100, 8000])
def test_mp3_without_a_xing_header(tmp_path: Path, rate: int) -> None:
    """Nothing says how long it is; that the last frame is cut shows all the same."""
    path = tmp_path / "x.mp3"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, rate)
    soundfile.write(path, samples, rate, bitrate_mode="CONSTANT")
    data = path.read_bytes()
    bare = data[_mpeg_frame(data[:4]) :]
    assert b"Xing" not in bare and b"Info" not in bare
    for tag in (b"", b"ID3\3\0\0" + bytes([0, 0, 1, 2]) + bytes(130)):
        path.write_bytes(tag + bare)
        assert check_clip(path) is None
        path.write_bytes(tag + bare + b"TAG" + bytes(125))
        assert check_clip(path) is None
        path.write_bytes(tag + bare[:-50])
        assert str(check_clip(path)).startswith("truncated: the last mp3 frame is cut short, ")
    path.write_bytes(b"ID3\3\0\0" + bytes([0, 0, 1, 2]) + bytes(20))
    assert str(check_clip(path)).startswith("truncated: ")


@pytest.mark.parametrize(
    ("header", "size"),
    [("fffb9064", 417), ("fffb9264", 418), ("fff390c4", 261), ("fffd9004", 522), ("ffe318c4", 72), ("00000000", 0)],
)
def test_sizes_of_mpeg_frames(header: str, size: int) -> None:
    """128 kbit/s at 44.1 kHz: 144 * 128000 / 44100 = 417 bytes, 418 padded; MPEG-2: 72 * 80000 / 22050 = 261; ..."""
    assert _mpeg_frame(bytes.fromhex(header)) == size


def test_ogg_cut_between_pages(tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 100_000), 16000)
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"OggS")])
    reason = check_clip(path)
    assert reason is not None and reason.startswith("truncated: the end-of-stream page is missing, ")
