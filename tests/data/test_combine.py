"""combine-data: one directory of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from espret.bin import main
from espret.data.combine import combine_data
from espret.data.datadir import DataDir, Segment
from espret.data.validate import validate
from espret.errors import EspretError


def write(path: Path, utts: list[str], segments: bool = False, corpus: str = "c") -> Path:
    """A data directory of clips of 2 s with a caption each; with segments, all of one recording."""
    recording = f"{utts[0]}-whole"
    directory = DataDir(
        wav_scp={recording: "a.wav"} if segments else {utt: f"{utt}.wav" for utt in utts},
        segments={utt: Segment(recording, 2 * i, 2 * i + 2) for i, utt in enumerate(utts)} if segments else {},
        reco2dur={recording: 100.0} if segments else {},
        utt2dur=dict.fromkeys(utts, 2.0),
        utt2sr=dict.fromkeys(utts, 8000),
        text={f"{utt}-1": f"words of {utt}" for utt in utts},
        cap2utt={f"{utt}-1": utt for utt in utts},
        utt2cap={utt: [f"{utt}-1"] for utt in utts},
        utt2fname={utt: f" {utt} 100%.wav " for utt in utts},
        utt2origin={utts[0]: ["youtube:x", "freesound:1"]},
    )
    directory.about = {"corpus": corpus, "split": path.name, "variant": "v1", "listed": 9, **directory.counts()}
    directory.write(path)
    return path


@pytest.mark.parametrize("segments", [False, True])
def test_all_clips_and_what_they_came_from(tmp_path: Path, segments: bool) -> None:
    first = write(tmp_path / "a b", ["u", "v"])
    second = write(tmp_path / "wavcaps", ["t", "w"], segments, "wavcaps")
    assert main(["combine-data", "--out", str(tmp_path / "mix"), str(first), str(second)]) == 0
    mix = DataDir.load(tmp_path / "mix")
    assert validate(tmp_path / "mix") == []
    assert mix.utts == ["t", "u", "v", "w"] and mix.text["w-1"] == "words of w"
    assert mix.utt2fname["u"] == " u 100%.wav " and mix.utt2origin["t"] == ["youtube:x", "freesound:1"]
    assert mix.about["corpus"] == "c+wavcaps" and mix.about["split"] == "a b+wavcaps" and mix.about["listed"] == 18
    assert [part["list_sha256"] for part in mix.about["parts"]] == [
        DataDir.load(path).about["list_sha256"] for path in (first, second)
    ]
    if segments:
        assert mix.source("u") == ("u.wav", 0.0, 2.0) and mix.source("w") == ("a.wav", 2.0, 4.0)


def test_a_clip_may_not_be_in_the_mix_twice(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", ["u", "v"]), write(tmp_path / "b", ["v", "w"])
    with pytest.raises(EspretError, match="b: 1 clips of it are in the mix already, first 'v'"):
        combine_data([first, second], tmp_path / "mix")
    assert not (tmp_path / "mix").exists()
