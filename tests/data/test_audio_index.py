"""Finding sound files by name, in folders of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from espret.data.audio_index import AudioIndex, walk
from espret.errors import EspretError


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_by_stem_in_any_folder_the_preferred_format_first(tmp_path: Path) -> None:
    root = put(tmp_path, "a.mp3", "z/a.WAV", "b/a.flac", "x; y/-b .c.ogg", "a.txt", "a", ".wav/c.wav")
    index = AudioIndex(root)
    assert [path.relative_to(root).as_posix() for path in index.files("a")] == ["z/a.WAV", "b/a.flac", "a.mp3"]
    assert index.find(["none", "-b .c", "a"]) == root / "x; y/-b .c.ogg"
    assert index.find(["c"]) == root / ".wav/c.wav" and index.find(["-b "]) is None and index.files("none") == []


def test_links_are_followed_and_lead_nowhere_twice(tmp_path: Path) -> None:
    root = put(tmp_path / "sounds", *(f"{folder}/{folder}.wav" for folder in "abc"))
    put(tmp_path / "elsewhere", "d.wav")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "broken").symlink_to(tmp_path / "gone")
    for folder in "abc":
        (root / folder / "up").symlink_to(root)
    index = AudioIndex(root)
    assert [len(index.files(stem)) for stem in "abcd"] == [1, 1, 1, 1]
    assert index.find(["d"]) == root / "linked/d.wav"
    assert [folder for folder, _, _ in walk(root)] == [str(root / name) for name in ("", "a", "b", "c", "linked")]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="no such folder; expected one with sound files"):
        AudioIndex(put(tmp_path, "a.wav") / "a.wav")
