"""Every published network through `espret dump`, with random weights: what comes out is what it says of itself."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.audio import FRONTENDS
from espret.audio.published import table
from espret.bin import main
from espret.config import build
from espret.data.audio import probe
from espret.data.datadir import DataDir
from espret.features.reader import FeatureReader

NETWORKS = sorted(set(table()) & set(FRONTENDS))
QUICK = ("cnn10", "coala_cnn", "vggsound_h", "yamnet")
ALL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]


def data_dir(folder: Path, paths: dict[str, Path]) -> Path:
    """A data directory of these clips, without captions."""
    headers = {utt: probe(path) for utt, path in paths.items()}
    directory = DataDir(
        wav_scp={utt: str(path) for utt, path in paths.items()},
        utt2dur={utt: header.frames / header.sample_rate for utt, header in headers.items()},
        utt2sr={utt: header.sample_rate for utt, header in headers.items()},
    )
    directory.write(folder)
    return folder


def check(name: str, data: Path, out: Path) -> None:
    """Dump and compare with what the table and the extractor say."""
    words = ["--data", str(data), "--out", str(out)]
    assert main(["dump", "--frontend", f"{{type: {name}, checkpoint: random}}", *words]) == 0
    published, reader, directory = table()[name], FeatureReader(out), DataDir.load(data)
    extractor = build(FRONTENDS, {"type": name, "checkpoint": "random"}, sample_rate=published.sample_rate)
    assert reader.utts == directory.utts
    assert (reader.dim, reader.about["sample_rate"]) == (published.dim, published.sample_rate)
    assert reader.about["hop_seconds"] == pytest.approx(published.hop_seconds, rel=0.002)
    assert reader.about["weights"]["checkpoint"] == "random"
    for utt in reader.utts:
        matrix = reader[utt]
        samples = np.ceil(directory.utt2dur[utt] * published.sample_rate - 1e-6)
        assert matrix.shape == (extractor.frames(int(samples)), published.dim), utt
        assert np.isfinite(matrix).all()


def test_every_published_network_is_there():
    assert set(table()) - set(FRONTENDS) == {"vggish_pca"}  # a part of VGGish


@pytest.mark.parametrize("name", ALL)
def test_generated_clips(tmp_path, name):
    rng = np.random.default_rng(0)
    sounds = {
        "a-silence": (np.zeros(16000), 16000),
        "b-clipped": (np.clip(20 * rng.standard_normal(12000), -1, 1), 8000),
        "c-short": (0.1 * rng.standard_normal(200), 44100),
        "d-six-channels": (0.1 * rng.standard_normal((96000, 6)), 192000),
    }
    paths = {utt: tmp_path / f"{utt} é'.wav" for utt in sounds}
    for utt, (samples, rate) in sounds.items():
        soundfile.write(paths[utt], samples, rate)
    check(name, data_dir(tmp_path / "data", paths), tmp_path / "dump of it")


@pytest.mark.parametrize(("name", "rate"), [("logmel", 16000), ("panns_logmel", 32000), ("coala_logmel", 22000)])
def test_front_ends_alone_get_the_rate_that_they_are_made_for(tmp_path, name, rate):
    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.1), 16000)
    data = data_dir(tmp_path / "data", {"a": tmp_path / "a.wav"})
    assert main(["dump", "--frontend", name, "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    reader = FeatureReader(tmp_path / "out")
    assert reader.about["sample_rate"] == rate and reader["a"].shape[1] == reader.dim


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NETWORKS)
def test_real_clips(tmp_path, name):
    if "ESPRET_TEST_DATA" not in os.environ:
        pytest.skip("ESPRET_TEST_DATA does not name a folder with real clips")
    audio = Path(os.environ["ESPRET_TEST_DATA"]) / "audio"
    with open(audio / "manifest.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    chosen: dict[str, dict[str, str]] = {}
    for row in rows:  # a clip of each kind: rate, channels, data set
        chosen.setdefault(f"{row['dataset'].split()[0]}-{row['sample_rate']}-{row['channels']}", row)
    assert len(chosen) >= 4
    check(
        name, data_dir(tmp_path / "data", {utt: audio / row["file"] for utt, row in chosen.items()}), tmp_path / "out"
    )


@pytest.mark.parametrize(("frontend", "dtype"), [("waveform", "flac"), ("logmel", "float16")])
def test_what_is_stored(tmp_path, frontend, dtype):
    soundfile.write(tmp_path / "a.wav", np.linspace(-0.5, 0.5, 8000), 16000)
    data = data_dir(tmp_path / "data", {"a": tmp_path / "a.wav"})
    words = ["dump", "--frontend", frontend, "--data", str(data), "--out", str(tmp_path / "out"), "--dtype", dtype]
    assert main([*words, "--sample-rate", "32000"]) == 0
    reader = FeatureReader(tmp_path / "out")
    assert (reader.about["dtype"], reader.about["sample_rate"]) == (dtype, 32000)
    assert len(reader["a"]) == (16000 if frontend == "waveform" else 47)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frontend", "cn10"], "unknown front end 'cn10'; did you mean 'cnn10'?"),
        (["--frontend", "[cnn10]"], "expected a name such as cnn14, or {type: NAME, option: value}"),
        (["--frontend", "{type: cnn10, outptu: frames}"], "unknown option 'outptu'; did you mean 'output'?"),
        (["--frontend", "cnn10", "--shard", "1/2"], "is for --config"),
        (["--frontend", "cnn10", "--sample-rate", "16000"], "features.sample_rate is 16000; expected 32000 Hz"),
        (["--frontend", "waveform", "--sample-rate", "-5"], "features.sample_rate is -5; expected samples a second"),
        (["--frontend", "cnn10"], "espret fetch-checkpoint cnn10"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.setenv("ESPRET_CHECKPOINTS", str(tmp_path / "none"))
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.1), 16000)
    data = data_dir(tmp_path / "data", {"a": tmp_path / "a.wav"})
    assert main(["dump", *words, "--data", str(data), "--out", str(tmp_path / "out")]) != 0
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/feats*"))
