import gc
import subprocess
import sys
from pathlib import Path

import pytest

from espret.data import datadir
from espret.data.datadir import DataDir, Segment, Source
from espret.errors import EspretError


def segmented() -> DataDir:
    return DataDir(
        wav_scp={"r1": "a b.wav", "r2": "/c.wav"},
        segments={"r1-a": Segment("r1", 0.0, 1.0), "r1-b": Segment("r1", 1.0, 2.5), "r2-a": Segment("r2", 0.25, 1.0)},
        reco2dur={"r1": 3.0, "r2": 1.0},
        utt2dur={"r1-a": 1.0, "r1-b": 1.5, "r2-a": 0.75},
        utt2sr=dict.fromkeys(["r1-a", "r1-b", "r2-a"], 8000),
        text={"r1-a-1": "x", "r1-b-1": "y", "r2-a-1": "z"},
        cap2utt={"r1-a-1": "r1-a", "r1-b-1": "r1-b", "r2-a-1": "r2-a"},
        utt2cap={"r1-a": ["r1-a-1"], "r1-b": ["r1-b-1"], "r2-a": ["r2-a-1"]},
    )


def test_round_trip(sound_dir: Path, tmp_path: Path) -> None:
    first = DataDir.load(sound_dir)
    first.write(tmp_path / "again")
    assert DataDir.load(tmp_path / "again") == first
    for path in sound_dir.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_round_trip_with_segments(tmp_path: Path) -> None:
    segmented().write(tmp_path)
    assert DataDir.load(tmp_path) == segmented()


def test_source_of_an_utterance(sound_dir: Path) -> None:
    assert DataDir.load(sound_dir).source("u1") == Source("audio/two  blanks.wav")
    assert segmented().source("r1-b") == Source("a b.wav", 1.0, 2.5)
    with pytest.raises(EspretError, match="'nobody'"):
        segmented().source("nobody")


def test_subset_keeps_recordings_and_captions(tmp_path: Path) -> None:
    part = segmented().subset(["r1-b"])
    assert part.wav_scp == {"r1": "a b.wav"} and part.utts == ["r1-b"] and part.text == {"r1-b-1": "y"}
    assert part.reco2dur == {"r1": 3.0} and part.utt2cap == {"r1-b": ["r1-b-1"]}
    assert part.about["clips"] == 1 and part.about["captions"] == 1
    with pytest.raises(EspretError, match="no utterance 'r9'"):
        segmented().subset(["r9", "r1-a"])


def test_split_makes_up_the_whole(sound_dir: Path) -> None:
    whole = DataDir.load(sound_dir)
    parts = whole.split(6)
    assert [utt for part in parts for utt in part.utts] == whole.utts
    assert {cap for part in parts for cap in part.text} == set(whole.text)


def test_writing_fewer_files_removes_the_old_ones(sound_dir: Path) -> None:
    directory = DataDir.load(sound_dir)
    DataDir(wav_scp=directory.wav_scp, utt2dur=directory.utt2dur, utt2sr=directory.utt2sr).write(sound_dir)
    assert not (sound_dir / "text").exists() and not (sound_dir / "cap2utt").exists()


def test_pipes_are_refused(sound_dir: Path) -> None:
    (sound_dir / "wav.scp").write_text("a x.wav\nb sox y.wav -t wav - |\n")
    with pytest.raises(EspretError, match=r"wav\.scp:2: 'b' is a pipe"):
        DataDir.load(sound_dir)


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [("utt2dur", "u0 long", "seconds"), ("utt2sr", "u0 16k", "Hz"), ("segments", "u0 r 1", "recording start end")],
)
def test_values_of_another_type_are_named(sound_dir: Path, name: str, line: str, expected: str) -> None:
    (sound_dir / name).write_text(line + "\n")
    with pytest.raises(EspretError, match=rf"{name}:1: 'u0' has .*{expected}"):
        DataDir.load(sound_dir)


def test_light_modules_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, espret.data.datadir, espret.data.validate, espret.bin.validate\n"
        "heavy = {'torch', 'numpy', 'soundfile', 'kaldiio'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_pauses_the_collector_also_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segmented().write(tmp_path)
    (tmp_path / "utt2sr").write_text("r1-a many\n")
    paused: list[bool] = []
    parse = datadir.parse_segment

    def watched(value: str) -> Segment:
        paused.append(not gc.isenabled())
        return parse(value)

    monkeypatch.setattr(datadir, "parse_segment", watched)
    with pytest.raises(EspretError, match="utt2sr:1: 'r1-a' has 'many'"):
        DataDir.load(tmp_path)
    assert paused == [True] * 3 and gc.isenabled()
