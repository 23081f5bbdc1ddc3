from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
import soundfile

from espret.errors import EspretError
from espret.features.reader import FeatureReader


class Planted:
    """What a hostile ark would hold: unpickling it makes a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("planted", "w"))  # type: ignore[return-value]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(matrices: dict[str, Any], **options: Any) -> None:
    kaldiio.save_ark("a b.ark", matrices, scp="feats.scp", **options)


def test_reads_what_kaldiio_writes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    matrices = {f"u{i}": rng.normal(size=(i, 5)).astype(np.float32) for i in range(1, 5)}
    write(matrices)
    reader = FeatureReader(folder)
    assert reader.utts == list(matrices) and list(reader) == list(matrices)
    for utt in reversed(reader.utts):
        np.testing.assert_array_equal(reader[utt], matrices[utt])
    again = pickle.loads(pickle.dumps(reader))  # as a data loader's worker gets it
    np.testing.assert_array_equal(again["u2"], matrices["u2"])


def test_reads_doubles_and_compressed_matrices_as_float32(folder: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(50, 8))
    write({"u": matrix})
    assert FeatureReader(folder)["u"].dtype == np.float32
    write({"u": matrix.astype(np.float32)}, compression_method=2)
    read = FeatureReader(folder)["u"]
    assert read.dtype == np.float32 and np.abs(read - matrix).max() < 0.05


def test_absolute_paths(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaldiio.save_ark(str(folder / "x.ark"), {"u": np.ones((2, 3), np.float32)}, scp="feats.scp")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    np.testing.assert_array_equal(FeatureReader(folder)["u"], np.ones((2, 3)))


def test_missing_ark_and_unknown_id(folder: Path) -> None:
    write({"utt1": np.ones((2, 3), np.float32)})
    reader = FeatureReader(folder)
    with pytest.raises(EspretError, match="no features of 'utt2'; did you mean 'utt1'"):
        reader["utt2"]
    (folder / "a b.ark").unlink()
    with pytest.raises(EspretError, match="'utt1' is in a b.ark, which does not exist .working directory .*--stage 1"):
        reader["utt1"]
    (folder / "feats.scp").unlink()
    with pytest.raises(EspretError, match="feats.scp: no such file"):
        FeatureReader(folder)


def test_damaged_arks(folder: Path) -> None:
    write({"u": np.ones((20, 30), np.float32)})
    data = (folder / "a b.ark").read_bytes()
    for damaged in (data[:500], data[:6], b"u \0BXX " + data[7:], b""):
        (folder / "a b.ark").write_bytes(damaged)
        with pytest.raises(EspretError, match="a b.ark:2: features of 'u' cannot be read"):
            FeatureReader(folder)["u"]


def test_pickles_are_never_loaded(folder: Path) -> None:
    (folder / "x.ark").write_bytes(b"u PKL" + pickle.dumps(Planted()))
    (folder / "feats.scp").write_text("u x.ark:2\n")
    with pytest.raises(EspretError, match="no Kaldi matrix there"):
        FeatureReader(folder)["u"]
    assert not (folder / "planted").exists()


@pytest.mark.parametrize("value", ["x.ark", "x.ark:", "x.ark:1x", "copy-feats ark:x ark:- |"])
def test_values_that_are_no_place_in_an_ark(folder: Path, value: str) -> None:
    (folder / "feats.scp").write_text(f"u {value}\n")
    with pytest.raises(EspretError, match="feats.scp:1: 'u' has .*expected 'path.ark:offset'"):
        FeatureReader(folder)


def npy(value: object, allow_pickle: bool = False) -> bytes:
    """What kaldiio puts into an ark for an array."""
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=allow_pickle)
    size = len(stream.getvalue())
    return b"NPY" + bytes([2]) + size.to_bytes(2, "little") + stream.getvalue()


def sound(form: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(100, np.int16), 8000, format=form)
    return b"AUDIO" + bytes([2]) + len(stream.getvalue()).to_bytes(2, "little") + stream.getvalue()


def test_half_precision_and_flac_as_kaldiio_writes_them(folder: Path) -> None:
    half = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float16)
    write({"a": half, "b": half[:1]}, write_function="numpy")
    reader = FeatureReader(folder)
    assert reader["a"].dtype == np.float32
    np.testing.assert_array_equal(reader["a"], half)
    np.testing.assert_array_equal(reader["b"], half[:1])
    assert reader.stored("a").dtype == np.float16
    np.testing.assert_array_equal(reader.stored("a"), half)
    wave = np.arange(-500, 500, dtype=np.int16)
    write({"a": (8000, wave), "b": (8000, wave[:7])}, write_function="soundfile", write_kwargs={"format": "FLAC"})
    reader = FeatureReader(folder)
    assert reader["a"].dtype == np.float32
    np.testing.assert_array_equal(reader["a"], wave[:, None] / 32768)
    assert reader["b"].shape == (7, 1)


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (npy(np.array([Planted()]), allow_pickle=True), "Object arrays cannot be loaded"),
        (npy(np.ones((50, 4)))[:-1], "bytes of"),
        (npy(np.ones((2, 3)))[:90] + b"x" * 10, "bytes of"),
        (b"NPY\x03\xff\xff\xff" + npy(np.ones((2, 3)))[6:], "bytes of"),
        (b"NPY", "index out of range"),
        (npy(np.array(["a", "b"])), "an array of <U1"),
        (npy(np.ones((2, 3)) * 1j), "an array of complex128"),
        (npy(np.ones(3)), "shape .3,.; expected .frames, dim"),
        (sound("WAV"), "no Kaldi matrix there"),
        (sound("FLAC")[:-20], "bytes of"),
        (b"AUDIO\x04\x04\0\0\0fLaC", "cannot be read"),
    ],
)
def test_damaged_and_hostile_blocks(folder: Path, block: bytes, error: str) -> None:
    (folder / "x.ark").write_bytes(b"u " + block)
    (folder / "feats.scp").write_text("u x.ark:2\n")
    with pytest.raises(EspretError, match=error):
        FeatureReader(folder)["u"]
    assert not (folder / "planted").exists()
