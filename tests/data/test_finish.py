"""check-audio and finish-data, on directories that prepare has written."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.bin import main
from espret.data import check as check_module
from espret.data.audio import SILENT, inspect_clip
from espret.data.check import check_audio
from espret.data.datadir import DataDir, Segment
from espret.data.finish import finish_data
from espret.data.prepare import prepare
from espret.data.validate import validate
from espret.errors import EspretError

WriteTone = Callable[..., Path]
DIRS = ["data/train.partial", "data/test.partial"]
WORK, TSV = "log of data", "data/data_issues.tsv"


def make(bad: bool) -> None:
    """Two splits of 5 clips; where `bad`, one of each kind of bad clip beside them."""
    rng = np.random.default_rng(0)
    os.makedirs("audio")
    paths = {}
    for i in range(10):
        paths[f"good{i}"] = f"audio/good {i}.wav"
        soundfile.write(paths[f"good{i}"], rng.uniform(-0.1, 0.1, 4000), 8000)
    if bad:
        for name in ("cut.wav", "cut.flac", "cut.ogg", "cut.mp3", "nan.wav", "none.wav"):
            samples = rng.uniform(-0.1, 0.1, 0 if "none" in name else 20000).astype(np.float32)
            samples[100 : 100 + ("nan" in name)] = np.nan
            soundfile.write(f"audio/{name}", samples, 16000, subtype="FLOAT" if "nan" in name else None)
            if "cut" in name:
                data = Path(f"audio/{name}").read_bytes()
                Path(f"audio/{name}").write_bytes(data[: len(data) // 2])
        Path("audio/text.wav").write_text("words, words")
        Path("audio/zero.wav").touch()
        for name in (*sorted(set(os.listdir("audio")) - {Path(path).name for path in paths.values()}), "gone.wav"):
            paths[f"bad-{name}"] = f"audio/{name}"
    items = [("train" if i % 2 else "test", utt, path, ["a", "b"]) for i, (utt, path) in enumerate(paths.items())]
    os.makedirs("local")
    Path("local/data.py").write_text(f"def clips():\n    yield from {items!r}\n")
    prepare("local/data.py", {"train": DIRS[0], "test": DIRS[1]}, WORK, TSV, "test")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a recipe"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def check(n: int) -> None:
    for j in range(1, n + 1):
        check_audio(DIRS, WORK, f"{j}/{n}")


@pytest.mark.parametrize("n", [1, 3, 30])
def test_all_is_well(recipe: Path, n: int) -> None:
    make(bad=False)
    check(n)
    lines = finish_data(DIRS, WORK, TSV)
    assert lines == ["train: 5 clips, 0.0 min, 10 captions", "test: 5 clips, 0.0 min, 10 captions"]
    assert Path(TSV).read_text() == "split\tid\tpath\treason\tclip\n"
    assert DataDir.load(DIRS[0]).about["clips"] == 5


def test_every_kind_of_issue(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(bad=True)
    check(4)
    before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file() and path.suffix != ".tsv"}
    with pytest.raises(EspretError) as error:
        finish_data(DIRS, WORK, TSV, allow_missing="8")
    message = str(error.value)
    assert message.startswith("9 clips cannot be used; expected 8 at most (--allow-missing 8):")
    assert "\n  test 'bad-cut.flac' audio/cut.flac: truncated: " in message
    assert "and 4 more" in message and TSV in message and message.endswith("--allow-missing 9")
    assert before == {path: path.read_bytes() for path in before}  # nothing is dropped
    rows = [line.split("\t") for line in Path(TSV).read_text().splitlines()[1:]]
    reasons = {utt: (path, reason) for _, utt, path, reason, _ in rows}
    assert [row[:2] for row in rows] == sorted(row[:2] for row in rows) and len(rows) == 9
    for name, reason in {
        "cut.wav": "truncated: header says 20000 frames, ",
        "cut.flac": "truncated: ",
        "cut.ogg": "truncated: ",
        "cut.mp3": "truncated: header says 20000 frames, ",
        "nan.wav": "NaN or infinite samples",
        "none.wav": "empty: 0 frames",
        "text.wav": "not audio: ",
        "zero.wav": "empty: a file of 0 bytes",
        "gone.wav": "missing",
    }.items():
        path, found = reasons[f"bad-{name}"]
        assert path == f"audio/{name}" and found.startswith(reason)
    lines = finish_data(DIRS, WORK, TSV, allow_missing="9")
    assert [line.split(", ")[0] for line in lines] == ["train: 5 of 9 clips", "test: 5 of 10 clips"]
    for path in DIRS:
        directory = DataDir.load(path)
        assert validate(path) == [] and all(utt.startswith("good") for utt in directory.utts)
        assert directory.about["clips"] == 5 and directory.about["captions"] == 10
    assert [DataDir.load(path).about["listed"] for path in DIRS] == [9, 10]


def test_unfinished_or_foreign_shards_are_refused(recipe: Path) -> None:
    make(bad=False)
    with pytest.raises(EspretError, match="has not finished.*found none"):
        finish_data(DIRS, WORK, TSV)
    for spec in ("1/3", "3/3"):
        check_audio(DIRS, WORK, spec)
    with pytest.raises(EspretError, match="has not finished.*issues.1.jsonl, issues.3.jsonl"):
        finish_data(DIRS, WORK, TSV)
    check_audio(DIRS, WORK, "2/4")
    with pytest.raises(EspretError, match="another number of jobs"):
        finish_data(DIRS, WORK, TSV)
    check_audio(DIRS, WORK, "2/3")
    with pytest.raises(EspretError, match="looked at other clips"):
        finish_data(DIRS[:1], WORK, TSV)
    assert len(finish_data(DIRS, WORK, TSV)) == 2


def _killed(where: str) -> None:
    os.chdir(where)
    from espret.data import check as module

    real, module.JOURNAL_EVERY = module.inspect_clip, 2
    calls = iter(range(100))
    module.inspect_clip = lambda path: os._exit(9) if next(calls) == 7 else real(path)  # type: ignore[assignment]
    check_audio(DIRS, WORK, "1/1")


def test_a_killed_task_leaves_nothing_and_goes_on_where_it_was(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(bad=True)
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(str(recipe),))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert not Path(WORK, "issues.1.jsonl").exists()
    with pytest.raises(EspretError, match="has not finished"):
        finish_data(DIRS, WORK, TSV)
    journal = Path(WORK, "issues.1.jsonl.journal")
    with journal.open("a") as stream:
        stream.write('{"recordings": 2, "iss')  # killed while it wrote
    decoded: list[str] = []
    monkeypatch.setattr(check_module, "inspect_clip", lambda path: decoded.append(path) or inspect_clip(path))
    assert check_audio(DIRS, WORK, "1/1") == (14, 4)
    assert len(decoded) == 14 - 6 and not journal.exists()
    finish_data(DIRS, WORK, TSV, allow_missing="9")
    assert Path(TSV).read_text().count("dropped") == 9  # those found before the kill too


def test_a_journal_of_other_clips_is_not_gone_on_with(recipe: Path) -> None:
    make(bad=False)
    Path(WORK, "issues.1.jsonl.journal").write_text(
        '{"shard": 1, "shards": 1, "recordings": 10, "list_sha256": "of others"}\n{"recordings": 10, "issues": []}\n'
    )
    Path(DataDir.load(DIRS[0]).wav_scp["good1"]).write_text("gone bad")
    assert check_audio(DIRS, WORK, "1/1") == (10, 1)


@pytest.mark.parametrize(("allowed", "fits"), [("40%", True), ("39.9%", False), ("2", True), ("1", False)])
def test_a_share_of_each_split_may_be_missing(recipe: Path, allowed: str, fits: bool) -> None:
    make(bad=False)
    for path in list(DataDir.load(DIRS[0]).wav_scp.values())[:2]:
        Path(path).unlink()
    check(1)
    if fits:
        assert finish_data(DIRS, WORK, TSV, allowed)[0].startswith("train: 3 of 5 clips")
        return
    with pytest.raises(EspretError, match="without them: train 3 of 5, test 5 of 5 clips"):
        finish_data(DIRS, WORK, TSV, allowed)


def test_what_may_be_missing_is_a_number_or_a_share(recipe: Path) -> None:
    make(bad=False)
    check(1)
    for word in ("some", "-1", "5 %", "%"):
        with pytest.raises(EspretError, match="expected a number of clips, or a share"):
            finish_data(DIRS, WORK, TSV, word)


def test_silence_is_a_remark_and_the_clip_is_kept(recipe: Path) -> None:
    make(bad=False)
    soundfile.write("audio/good 1.wav", np.zeros(4000), 8000)
    check(1)
    lines = finish_data(DIRS, WORK, TSV)
    assert lines[0].startswith("train: 5 clips")
    assert lines[2:] == [f"warning: 1 odd clips are used, see {TSV}: train 'good1' audio/good 1.wav: {SILENT}"]
    assert "train\tgood1\taudio/good 1.wav\tdigital silence: every sample is 0\tkept\n" in Path(TSV).read_text()


def test_a_split_may_not_be_left_empty(recipe: Path) -> None:
    make(bad=False)
    for path in DataDir.load(DIRS[0]).wav_scp.values():
        Path(path).write_text("gone bad")
    check(2)
    with pytest.raises(EspretError, match="mend: nothing is left of train: is it the right folder") as error:
        finish_data(DIRS, WORK, TSV, allow_missing="1%")
    assert "expected 1% of each split at most" in str(error.value) and "go without" not in str(error.value)
    with pytest.raises(EspretError, match="train: no clip left of 5"):
        finish_data(DIRS, WORK, TSV, allow_missing="5")


def test_segments_beyond_their_recording(recipe: Path) -> None:
    make(bad=False)
    directory = DataDir(
        wav_scp={"r": "audio/good 1.wav", "s": "audio/good 2.wav"},
        segments={"r-a": Segment("r", 0, 0.25), "r-b": Segment("r", 0.25, 0.75), "s-a": Segment("s", 0, 0.5)},
        utt2dur={"r-a": 0.25, "r-b": 0.5, "s-a": 0.5},
        utt2sr=dict.fromkeys(["r-a", "r-b", "s-a"], 8000),
        text={"r-a-1": "x", "r-b-1": "x", "s-a-1": "x"},
        cap2utt={"r-a-1": "r-a", "r-b-1": "r-b", "s-a-1": "s-a"},
        utt2cap={"r-a": ["r-a-1"], "r-b": ["r-b-1"], "s-a": ["s-a-1"]},
    )
    directory.write("data/cut")
    check_audio(["data/cut"], WORK, "1/1")
    with pytest.raises(EspretError, match="'r-b' audio/good 1.wav: segment ends at 0.750 s, the recording at 0.500 s"):
        finish_data(["data/cut"], WORK, TSV)
    finish_data(["data/cut"], WORK, TSV, allow_missing="1")
    assert DataDir.load("data/cut").utts == ["r-a", "s-a"]


def test_verbs(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(bad=True)
    for j in ("1/2", "2/2"):
        assert main(["check-audio", "--shard", j, "--work", WORK, *DIRS]) == 0
    assert main(["finish-data", "--work", WORK, "--issues", TSV, *DIRS]) == 1
    assert "9 clips cannot be used; expected 0 at most" in capsys.readouterr().err
    assert main(["finish-data", "--allow-missing", "9", "--work", WORK, "--issues", TSV, *DIRS]) == 0
    assert "train: 5 of 9 clips, 0.0 min, 10 captions" in capsys.readouterr().out
