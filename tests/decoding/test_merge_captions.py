"""Merging shards of captions: one file for any number of jobs, whenever the merge was killed, however often it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from espret.data.datadir import DataDir
from espret.data.split import shard
from espret.decoding import caption
from espret.decoding.caption import merge, write_shard
from espret.errors import EspretError
from espret.files import read_jsonl

UTTS = [f"u{number}" for number in range(7)]


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A data directory with the clips UTTS."""
    directory = DataDir(wav_scp={utt: f"{utt}.wav" for utt in UTTS})
    directory.utt2dur, directory.utt2sr = dict.fromkeys(UTTS, 1.0), dict.fromkeys(UTTS, 16000)
    directory.about = {"split": "test", **directory.counts()}
    directory.write(tmp_path / "my 'data'")
    return str(tmp_path / "my 'data'")


def write(data: str, out: Path, shards: int, numbers: list[int] | None = None, words: str = "rain") -> None:
    for number in numbers or range(1, shards + 1):
        spec = f"{number}/{shards}"
        write_shard([{"utt": utt, "caption": f"{words} {utt}"} for utt in shard(UTTS, spec)], spec, data, out)


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_the_folder_is_the_same_for_any_number_of_jobs(data: str, tmp_path: Path) -> None:
    folders = []
    for shards in (1, 3, 9):
        out = tmp_path / f"out {shards}"
        write(data, out, shards)
        (out / ".hyp.1.jsonl.abc.tmp").write_text("a killed task's")
        assert merge(out) == 7
        folders.append(content(out))
        assert merge(out) == 7 and content(out) == folders[-1]
    assert set(folders[0]) == {"hyp.jsonl", "content.sha256"}
    assert folders[0] == folders[1] == folders[2]
    assert [row["utt"] for row in read_jsonl(out / "hyp.jsonl")] == UTTS


@pytest.mark.parametrize("calls", range(10))
def test_a_merge_killed_at_any_write_or_removal_can_be_repeated(
    calls: int, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(data, tmp_path / "whole", 3)
    merge(tmp_path / "whole")
    write(data, tmp_path / "out", 3)
    left = [calls]

    def killing(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for holder, name in ((caption, "write_jsonl"), (caption, "write_text"), (Path, "unlink"), (os, "replace")):
            patch.setattr(holder, name, killing(getattr(holder, name)))
        with pytest.raises(KeyboardInterrupt):  # two writes, two renamings and six removals
            merge(tmp_path / "out")
    assert merge(tmp_path / "out") == 7
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_shard_written_later_undoes_the_merge(data: str, tmp_path: Path) -> None:
    write(data, tmp_path, 2)
    merge(tmp_path)
    write(data, tmp_path, 2, [2], "snow")
    with pytest.raises(EspretError, match="shard 1 of 2 is missing"):
        merge(tmp_path)
    write(data, tmp_path, 2, [1], "snow")
    assert merge(tmp_path) == 7
    assert {row["caption"].split()[0] for row in read_jsonl(tmp_path / "hyp.jsonl")} == {"snow"}


def test_shards_that_lack_a_clip_are_refused(data: str, tmp_path: Path) -> None:
    write_shard([{"utt": utt, "caption": "rain"} for utt in UTTS[1:]], "1/1", data, tmp_path)
    with pytest.raises(EspretError, match="captions of 6 clips, expected the 7 of .*missing: .'u0'"):
        merge(tmp_path)
    assert not (tmp_path / "hyp.jsonl").exists()
