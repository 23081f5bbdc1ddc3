from __future__ import annotations

import fcntl
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

from espret.audio import FRONTENDS
from espret.audio.logmel import LogMel
from espret.audio.network import Extractor
from espret.bin import main
from espret.config import Features
from espret.data.datadir import DataDir, Segment
from espret.errors import EspretError
from espret.features import dump as module
from espret.features.dump import dump
from espret.features.extract import load_frontend
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
    def dumped(n: int, features: Features = FEATURES) -> str:
        dump_all(n, features)
        return content()

    one = dumped(1)
    assert dumped(4) == one
    assert dumped(1, Features("logmel", {"type": "logmel", "n_mels": 20, "hop": 200}, 8000)) != one
    samples, rate = soundfile.read("audio/clip 3.wav")
    soundfile.write("audio/clip 3.wav", samples * 0.5, rate)
    assert dumped(4) != one


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
    with pytest.raises(EspretError, match="no shard of features"):
        merge_dump(OUT)
    samples = np.ones(1000, np.float32)
    samples[700] = np.nan
    soundfile.write("audio/clip 4.wav", samples, 8000, "FLOAT")
    with pytest.raises(EspretError, match="'u4': audio/clip 4.wav: NaN or infinite samples.*--stage 0"):
        dump_all(1)
    soundfile.write("audio/clip 4.wav", np.ones(1000), 8000)
    assert dump(FEATURES, "data/train", OUT) == (9, 4)  # what was done before it is not done again
    assert merge_dump(OUT) == 9


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


def content() -> str:
    """Merge the shards, take them away, and say what they held."""
    merge_dump(OUT)
    text = Path(OUT, "content.sha256").read_text()
    shutil.rmtree(OUT)
    return text


def hidden() -> list[str]:
    assert sorted(os.listdir(OUT)) == [".feats.1.ark.journal.tmp", ".feats.1.ark.part.tmp"]
    return [str(Path(OUT, name)) for name in sorted(os.listdir(OUT))]


@pytest.fixture
def interrupted(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dump that was interrupted at u5, so that five utterances are in its ark; the content of a whole one."""
    dump_all(1)
    expected = content()
    real, calls = module.load_clip, iter(range(99))

    def interrupting(*arguments: object) -> object:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "load_clip", interrupting)
        with pytest.raises(KeyboardInterrupt):
            dump_all(1)
    return expected


def test_an_interrupted_task_goes_on_where_it_was(interrupted: str) -> None:
    hidden()
    assert dump(FEATURES, "data/train", OUT) == (9, 5)
    assert len(os.listdir(OUT)) == 5
    assert content() == interrupted


@pytest.mark.parametrize(
    ("lost", "kept"),
    [(1, 4), (0, 5)],  # the end of the journal's last line; bytes that no line tells of
)
def test_what_is_half_written_is_made_again(interrupted: str, lost: int, kept: int) -> None:
    journal, part = hidden()
    os.truncate(journal, os.path.getsize(journal) - lost)
    with open(part, "ab") as stream:
        stream.write(b"u5 \0BFM \4")
    assert dump(FEATURES, "data/train", OUT) == (9, kept)
    assert content() == interrupted


def test_an_ark_that_lost_its_end_is_made_again_from_there(interrupted: str) -> None:
    part = hidden()[1]
    os.truncate(part, os.path.getsize(part) - 1)
    assert dump(FEATURES, "data/train", OUT) == (9, 4)
    assert content() == interrupted


@pytest.mark.parametrize("junk", [b"", b"\0\0\0", b"{}\n[]\n", b"[1, 2\n"])
def test_a_journal_that_is_none_is_not_believed(interrupted: str, junk: bytes) -> None:
    Path(hidden()[0]).write_bytes(junk)
    assert dump(FEATURES, "data/train", OUT) == (9, 0)
    assert content() == interrupted


def test_what_has_changed_since_is_made_again(interrupted: str) -> None:
    samples, rate = soundfile.read("audio/clip 3.wav")
    soundfile.write("audio/clip 3.wav", samples / 2, rate)
    assert dump(FEATURES, "data/train", OUT) == (9, 3)
    assert content() != interrupted


@pytest.mark.parametrize("changed", ["options", "utterances"])
def test_a_job_with_other_work_starts_anew(interrupted: str, changed: str) -> None:
    features = FEATURES
    if changed == "options":
        features = Features("logmel", {"type": "logmel", "n_mels": 21}, 8000)
    else:
        DataDir.load("data/train").subset(["u1", "u2", "u8"]).write("data/train")
    assert dump(features, "data/train", OUT).resumed == 0
    merge_dump(OUT)
    assert finish()["u8"].shape[1] == (21 if changed == "options" else 20)


def test_a_shard_that_another_process_writes(interrupted: str) -> None:
    with open(hidden()[1], "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(EspretError, match="feats.1.ark: another process is writing it"):
            dump_all(1)


def test_a_killed_task_goes_on_where_it_was(recipe: Path) -> None:
    """SIGKILL in the middle of the ark: nothing looks whole; run again, the result is as if undisturbed."""
    dump_all(1)
    expected = content()
    code = (
        "import time\nfrom espret.config import Features\nfrom espret.features import dump as m, writer\n"
        "real, writer.SYNC_SECONDS = m.load_clip, 0\n"
        "def slow(*a):\n    time.sleep(0.2)\n    return real(*a)\nm.load_clip = slow\n"
        f"m.dump({FEATURES!r}, 'data/train', {OUT!r}, '1/1')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    journal = Path(OUT, ".feats.1.ark.journal.tmp")
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hidden()
    with pytest.raises(EspretError, match="no shard of features"):
        merge_dump(OUT)
    assert 2 <= dump(FEATURES, "data/train", OUT).resumed < 9
    assert content() == expected


class Toy(Extractor):
    """A network: windows of 80 samples, times a matrix. `fail`: the GPU's memory does not suffice."""

    dim, hop_seconds = 300, 0.01

    def __init__(self, sample_rate: int, fail: bool = False) -> None:
        super().__init__()
        self.provenance = {"checkpoint": "random"}
        self.weight = torch.randn(80, 300, generator=torch.Generator().manual_seed(0))
        self.fail, self.batches = fail, []

    def frames(self, samples: int) -> int:
        return max(1, samples // 80)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        if self.fail:
            raise torch.cuda.OutOfMemoryError
        return samples[:, : self.frames(samples.shape[1]) * 80].unflatten(1, (-1, 80)) @ self.weight


@pytest.fixture
def frontends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FRONTENDS._entries, "toy", f"{__name__}:Toy")


def section(kind: str, **values: str) -> Features:
    return Features("x", {"type": kind}, 8000, **values)  # type: ignore[arg-type]


def whole(features: Features, **options: float) -> FeatureReader:
    """Features of all clips, dumped by two jobs."""
    shutil.rmtree("dump", ignore_errors=True)
    for j in (1, 2):
        dump(features, "data/train", OUT, f"{j}/2", **options)
    merge_dump(OUT)
    return finish()


def test_half_precision(recipe: Path, frontends: None) -> None:
    full, half = ({utt: reader[utt] for utt in reader} for reader in map(whole, (section("toy"), section("toy"))))
    reader = whole(section("toy", dtype="float16"))
    assert reader.about["dtype"] == "float16" and reader["u0"].dtype == np.float32
    peer = kaldiio.load_scp("dump/logmel/train/feats.scp")
    for utt in reader:
        assert len(reader[utt]) == reader.num_frames()[utt] and peer[utt].dtype == np.float16
        np.testing.assert_array_equal(reader[utt], full[utt].astype(np.float16))
        np.testing.assert_array_equal(reader[utt], peer[utt])
        np.testing.assert_array_equal(full[utt], half[utt])
    sizes = sum(path.stat().st_size for path in Path("dump/logmel/train").glob("*.ark"))
    assert sizes < 0.6 * sum(matrix.nbytes for matrix in full.values())


def test_numbers_too_large_for_half_precision(recipe: Path, frontends: None) -> None:
    soundfile.write("audio/clip 6.wav", np.full(5000, 70000, np.float32), 8000, "FLOAT")
    with pytest.raises(EspretError, match="'u6': features up to 70000; .*features.dtype: float32"):
        whole(section("waveform", dtype="float16"))


def test_waveforms(recipe: Path, frontends: None) -> None:
    rng = np.random.default_rng(0)
    loud = np.append(rng.uniform(-1, 1, 5000), [1.5, -1.5, 1, -1]).astype(np.float32)
    soundfile.write("audio/clip 6.wav", loud, 8000, "FLOAT")
    reader = whole(section("waveform"))
    assert reader.dim == 1 and reader.about["hop_seconds"] == 1 / 8000 and reader.num_frames()["u6"] == 5004
    full = {utt: reader[utt] for utt in reader}
    assert full["u6"].shape == (5004, 1)
    np.testing.assert_array_equal(full["u6"][:, 0], loud)
    np.testing.assert_array_equal(full["u2"][:, 0], module.load_clip("audio/clip 2.wav", 8000))
    reader = whole(section("waveform", dtype="flac"))
    for utt in reader:
        assert reader[utt].shape == full[utt].shape and reader[utt].dtype == np.float32
        assert np.abs(reader[utt] - np.clip(full[utt], -1, 32767 / 32768)).max() <= 0.5 / 32768
    rate, samples = kaldiio.load_scp("dump/logmel/train/feats.scp")["u6"]
    assert rate == 8000 and len(samples) == 5004
    with pytest.raises(EspretError, match="features.dtype: flac, .* front end 'logmel'"):
        dump(section("logmel", dtype="flac"), "data/train", OUT)


def test_precision_and_provenance(recipe: Path, frontends: None) -> None:
    full = whole(section("toy"))["u8"]
    reader = whole(section("toy", precision="bfloat16"))
    assert reader.about["precision"] == "bfloat16" and reader.about["weights"] == {"checkpoint": "random"}
    assert not np.array_equal(reader["u8"], full)
    np.testing.assert_allclose(reader["u8"], full, atol=0.2)


def test_batches_change_no_more_than_last_digits(recipe: Path, frontends: None) -> None:
    """What a batch holds depends on the whole list of clips: the number of jobs changes nothing at all."""
    one = whole(section("toy"))
    single = {utt: one[utt] for utt in one}
    for i in (3, 6, 7):
        soundfile.write(f"audio/clip {i}.wav", np.random.default_rng(i).uniform(-1, 1, 4000), 8000)
    again = whole(section("toy"), batch_seconds=0)
    for utt in ("u3", "u6", "u7"):
        single[utt] = again[utt]
    contents = set()
    for n in (1, 2, 3, 12):
        shutil.rmtree("dump")
        for j in range(1, n + 1):
            dump(section("toy"), "data/train", OUT, f"{j}/{n}", batch_seconds=0.8, readers=3)
        contents.add(content())
    assert len(contents) == 1
    batched = whole(section("toy"), batch_seconds=100)
    for utt in batched:
        np.testing.assert_allclose(batched[utt], single[utt], atol=1e-4)
    arks = Path("dump/logmel/train").glob("feats.*.ark")
    assert [[utt for utt, _ in kaldiio.load_ark(str(ark))] for ark in sorted(arks)] == [[f"u{i}" for i in range(9)]]


def test_batches_where_no_table_has_the_lengths(recipe: Path) -> None:
    os.unlink("data/train/utt2dur")
    assert len(whole(FEATURES, batch_seconds=1)) == 9
    Path("audio/clip 4.wav").write_text("gone bad")
    with pytest.raises(EspretError, match="'u4': audio/clip 4.wav: not audio: .*--stage 0"):
        whole(FEATURES, batch_seconds=1)


def test_a_gpu_without_enough_memory(recipe: Path, frontends: None) -> None:
    features = section("toy")
    features.frontend["fail"] = True
    with pytest.raises(EspretError, match="GPU memory with 1 clips of up to 0 s; mend: a smaller --batch-seconds"):
        dump(features, "data/train", OUT)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same(recipe: Path) -> None:
    reader = whole(FEATURES)
    expected = {utt: reader[utt] for utt in reader}
    reader = whole(FEATURES, device="cuda")
    for utt in reader:
        np.testing.assert_allclose(reader[utt], expected[utt], atol=1e-3)


def test_verbs(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = {"name": "word", "tokenizer": {"type": "word"}}
    system = {"features": vars(FEATURES), "text": text, "model": {"type": "dual_encoder"}}
    Path("conf.yaml").write_text(json.dumps(system))
    for j in ("1/2", "2/2"):
        assert main(["dump", "--config", "conf.yaml", "--data", "data/train", "--out", OUT, "--shard", j]) == 0
    assert main(["merge-dump", OUT]) == 0
    assert "dump/logmel/train: features of 9 utterances" in capsys.readouterr().out
    verb = ["dump", "--config", "conf.yaml", "--data", "data/train", "--out", OUT]
    assert main([*verb, "--batch-seconds", "2", "--readers", "2"]) == 0
    assert main([*verb, "--shard", "3/2"]) == 1
    for wrong in (["--readers", "0"], ["--batch-seconds", "-1"], ["--ngpu", "2"]):
        with pytest.raises(SystemExit):
            main([*verb, *wrong])
    if not torch.cuda.is_available():
        assert main([*verb, "--ngpu", "1"]) == 1
        assert "found 0 usable GPU" in capsys.readouterr().err


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
