from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch

from espret.audio.logmel import LogMel
from espret.bin import main
from espret.config import Features
from espret.data.datadir import DataDir, Segment
from espret.errors import EspretError
from espret.features import dump as module
from espret.features.dump import dump, load_frontend
from espret.features.merge import merge_dump
from espret.features.reader import FeatureReader

FEATURES = Features("logmel", {"type": "logmel", "n_mels": 20}, 8000)
OUT = "dump/logmel/train.partial"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe folder, as working directory, with 9 clips of several rates and lengths in data/train."""
    folder = tmp_path / "it's a recipe; Möwe"
    (folder / "audio").mkdir(parents=True)
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(0)
    directory = DataDir(wav_scp={})
    for i in range(9):
        utt, rate = f"u{i}", (8000, 16000, 44100)[i % 3]
        directory.wav_scp[utt] = f"audio/clip {i}.wav"
        soundfile.write(directory.wav_scp[utt], rng.uniform(-0.5, 0.5, (rate * (i + 1) // 10, 1 + i % 2)), rate)
        directory.utt2dur[utt], directory.utt2sr[utt] = (i + 1) / 10, rate
    directory.about = {"split": "train", **directory.counts()}
    directory.write("data/train")
    return folder


def dump_all(n: int, features: Features = FEATURES) -> None:
    for j in range(1, n + 1):
        dump(features, "data/train", OUT, f"{j}/{n}")


def finish() -> FeatureReader:
    os.rename(OUT, "dump/logmel/train")
    return FeatureReader("dump/logmel/train")


def test_what_a_dump_holds_does_not_depend_on_the_number_of_jobs(recipe: Path) -> None:
    def content(n: int, features: Features = FEATURES) -> str:
        dump_all(n, features)
        merge_dump(OUT)
        text = Path(OUT, "content.sha256").read_text()
        shutil.rmtree(OUT)
        return text

    one = content(1)
    assert content(4) == one
    assert content(1, Features("logmel", {"type": "logmel", "n_mels": 20, "hop": 200}, 8000)) != one
    samples, rate = soundfile.read("audio/clip 3.wav")
    soundfile.write("audio/clip 3.wav", samples * 0.5, rate)
    assert content(4) != one


@pytest.mark.parametrize("n", [1, 2, 9, 20])
def test_dump_merge_and_read(recipe: Path, n: int) -> None:
    dump_all(n)
    assert merge_dump(OUT) == 9
    arks = {f"feats.{j}.ark" for j in range(1, n + 1)}
    listed = set(os.listdir(OUT))
    assert listed - arks == {"feats.scp", "utt2num_frames", "about.json", "content.sha256"}
    reader = finish()
    assert reader.utts == [f"u{i}" for i in range(9)] and len(reader) == 9 and "u3" in reader and "x" not in reader
    assert reader.dim == 20
    peer = kaldiio.load_scp("dump/logmel/train/feats.scp")
    for utt in reader:
        matrix = reader[utt]
        assert matrix.dtype == np.float32 and matrix.shape == (reader.num_frames()[utt], 20)
        np.testing.assert_array_equal(matrix, peer[utt])
    samples = soundfile.read("audio/clip 6.wav", dtype="float32")[0]  # 8 kHz, mono: as it is
    expected = LogMel(8000, n_mels=20)(torch.from_numpy(samples)[None])[0]
    np.testing.assert_allclose(reader["u6"], expected, atol=1e-5)
    about = {"frontend": "logmel", "sample_rate": 8000, "dim": 20, "hop_seconds": 0.04, "utterances": 9}
    assert about.items() <= reader.about.items()
    assert reader.about["options"]["n_mels"] == 20 and reader.about["options"]["window"] == 1024


def test_number_of_shards_does_not_change_the_features(recipe: Path) -> None:
    dump_all(1)
    merge_dump(OUT)
    one = _read_partial()
    dump_all(4)
    merge_dump(OUT)
    four = _read_partial()
    assert all(np.array_equal(one[utt], four[utt]) for utt in one) and one.keys() == four.keys()


def _read_partial() -> dict[str, np.ndarray]:
    os.symlink("train.partial", "dump/logmel/train")
    reader = FeatureReader(OUT)
    read = {utt: reader[utt] for utt in reader}
    os.unlink("dump/logmel/train")
    return read


def test_segments_are_cut_out(recipe: Path) -> None:
    whole = DataDir.load("data/train")
    directory = DataDir(wav_scp={"r": whole.wav_scp["u6"]}, segments={"r-a": Segment("r", 0.2, 0.5)})
    directory.write("data/cut")
    dump(FEATURES, "data/cut", OUT)
    merge_dump(OUT)
    samples = soundfile.read(whole.wav_scp["u6"], dtype="float32")[0][1600:4000]
    expected = LogMel(8000, n_mels=20)(torch.from_numpy(samples)[None])[0]
    np.testing.assert_allclose(finish()["r-a"], expected, atol=1e-5)


def test_a_clip_that_fails_is_named(recipe: Path) -> None:
    Path("audio/clip 4.wav").write_text("gone bad")
    with pytest.raises(EspretError, match="'u4': audio/clip 4.wav: not audio: .*--stage 0"):
        dump_all(1)
    assert os.listdir(OUT) == []


def test_a_missing_shard_is_named(recipe: Path) -> None:
    with pytest.raises(EspretError, match="no shard of features"):
        merge_dump(OUT)
    dump_all(3)
    os.unlink(f"{OUT}/feats.2.scp")
    with pytest.raises(EspretError, match="1 of 3 shards missing: 2; mend: ./run.sh --stage 1"):
        merge_dump(OUT)
    dump(FEATURES, "data/train", OUT, "2/3")
    assert merge_dump(OUT) == 9


def test_shards_of_another_configuration_are_refused(recipe: Path) -> None:
    dump_all(2)
    dump(Features("logmel", {"type": "logmel", "n_mels": 21}, 8000), "data/train", OUT, "2/2")
    with pytest.raises(EspretError, match="shards 1 and 2 do not belong together: dim is 20 and 21"):
        merge_dump(OUT)


def test_shards_of_other_data_are_refused(recipe: Path) -> None:
    dump_all(2)
    DataDir.load("data/train").subset(["u1", "u2", "u8"]).write("data/train")
    dump(FEATURES, "data/train", OUT, "2/2")
    with pytest.raises(EspretError, match="shards 1 and 2 do not belong together: all_sha256"):
        merge_dump(OUT)


def test_an_utterance_twice_is_refused(recipe: Path) -> None:
    dump_all(2)
    with open(f"{OUT}/feats.1.scp", "a") as stream:
        stream.write("u8 x.ark:3\n")
    with pytest.raises(EspretError, match="feats.2.scp: utterances of another shard too: u8"):
        merge_dump(OUT)


def test_an_utterance_lost_is_refused(recipe: Path) -> None:
    dump_all(2)
    for name in ("feats.1.scp", "utt2num_frames.1"):
        lines = Path(OUT, name).read_text().splitlines(keepends=True)
        Path(OUT, name).write_text("".join(lines[:-1]))
    with pytest.raises(EspretError, match="8 utterances that are not those of the data directory"):
        merge_dump(OUT)


def test_leftovers_of_an_earlier_dump_are_removed(recipe: Path) -> None:
    dump_all(5)
    dump_all(2)
    Path(OUT, ".feats.1.ark.abc.tmp").write_text("a killed task's")
    assert merge_dump(OUT) == 9
    left = ["about.json", "content.sha256", "feats.1.ark", "feats.2.ark", "feats.scp", "utt2num_frames"]
    assert sorted(os.listdir(OUT)) == left
    assert merge_dump(OUT) == 9  # again: nothing to do


def test_an_interrupted_task_leaves_nothing(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = module.load_clip, iter(range(9))

    def interrupted(*arguments: object) -> object:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "load_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dump_all(1)
    assert os.listdir(OUT) == []


def test_a_killed_task_leaves_nothing_that_looks_whole(recipe: Path) -> None:
    """SIGKILL in the middle of the ark: no scp, no ark under its name; run again, the result is as if undisturbed."""
    code = (
        "import time\nfrom espret.config import Features\nfrom espret.features import dump as m\nreal = m.load_clip\n"
        "def slow(*a):\n    time.sleep(0.5)\n    return real(*a)\nm.load_clip = slow\n"
        f"m.dump({FEATURES!r}, 'data/train', {OUT!r}, '1/1')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(Path(OUT).glob(".feats.1.ark.*.tmp")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.7)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(name.startswith(".") for name in os.listdir(OUT))
    with pytest.raises(EspretError, match="no shard of features"):
        merge_dump(OUT)
    dump_all(1)
    assert merge_dump(OUT) == 9
    assert len(finish()["u8"]) == LogMel(8000).frames(7200)


def test_verbs(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = {"name": "word", "tokenizer": {"type": "word"}}
    system = {"features": vars(FEATURES), "text": text, "model": {"type": "dual_encoder"}}
    Path("conf.yaml").write_text(json.dumps(system))
    for j in ("1/2", "2/2"):
        assert main(["dump", "--config", "conf.yaml", "--data", "data/train", "--out", OUT, "--shard", j]) == 0
    assert main(["merge-dump", OUT]) == 0
    assert "dump/logmel/train: features of 9 utterances" in capsys.readouterr().out
    assert main(["dump", "--config", "conf.yaml", "--data", "data/train", "--out", OUT, "--shard", "3/2"]) == 1


@pytest.mark.parametrize(("given", "expected"), [(None, [1]), ("2", [])])
def test_one_thread_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: list[int]
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    load_frontend(FEATURES)
    assert calls == expected
