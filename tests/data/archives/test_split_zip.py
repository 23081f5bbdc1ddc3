"""Split zips: the parts made by zip itself, and by the few lines below, which know all forms of the format."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from espret.data.archives.extract import extract
from espret.data.archives.split_zip import open_zip
from espret.errors import EspretError

FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
FILES = {f"a/{number} Möwe .flac": random.Random(number).randbytes(40_000) for number in range(12)} | {
    "list.json": b"{}"
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "ein 'böser' ; \"Ordner\""
    folder.mkdir()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def split(folder: Path, files: Mapping[str, bytes], cuts: Sequence[int], large: bool = False) -> list[Path]:
    """A zip of `files` with a comment, cut at these places; with all large numbers in the zip64 form, if wanted."""
    whole = folder / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"a comment"
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<2HB4s", 0x5455, 5, 1, b"time")  # another extra field
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    data = whole.read_bytes()
    whole.unlink()
    cuts = [cut if cut >= 0 else len(data) + cut for cut in cuts]
    starts = [0, *cuts]

    def place(at: int) -> tuple[int, int]:
        part = max(index for index, start in enumerate(starts) if start <= at)
        return part, at - starts[part]

    end = data.rindex(b"PK\5\6")
    size, begin = struct.unpack_from("<2L", data, end + 12)
    made, at = bytearray(data[:begin]), begin
    for _ in files:
        head = list(struct.unpack_from("<4s6H3L5H2L", data, at))
        name_end = at + 46 + head[10]
        extra = data[name_end : name_end + head[11]]
        part, offset = place(head[16])
        if large:
            extra += struct.pack("<2H3QL", 1, 28, head[9], head[8], offset, part)
            head[8], head[9], part, offset = FULL32, FULL32, FULL16, FULL32
        made += struct.pack("<4s6H3L5H2L", *head[:11], len(extra), head[12], part, *head[14:16], offset)
        made += data[at + 46 : name_end] + extra
        at = name_end + head[11] + head[12]
    size, count = len(made) - begin, len(files)
    part, offset = place(begin)
    last = len(cuts)
    if large:
        part64, offset64 = place(len(made))
        made += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, last, part, count, count, size, offset)
        made += struct.pack("<4sLQL", b"PK\6\7", part64, offset64, last + 1)
        last, part, count, size, offset = FULL16, FULL16, FULL16, FULL32, FULL32
    made += struct.pack("<4s4H2LH", b"PK\5\6", last, part, count, count, size, offset, 9) + b"a comment"
    paths = [folder / f"Free Sound.z{number:02d}" for number in range(1, len(starts))] + [folder / "Free Sound.zip"]
    for path, start, stop in zip(paths, starts, [*starts[1:], len(made)]):
        path.write_bytes(made[start:stop])
    return paths


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("cuts", [[100_000], [70, 71, 200_000, 200_000, 400_000], range(9_000, 480_000, 4_000), [-40]])
def test_parts_are_read_in_any_order(place: Path, cuts: Sequence[int], large: bool) -> None:
    paths = split(place, FILES, cuts, large)
    random.Random(0).shuffle(paths)
    assert extract(paths, place / "out") == len(FILES)
    assert content(place / "out") == FILES


def test_a_cut_at_each_place(place: Path) -> None:
    files = {"a": b"1", "b": b""}
    # All places before the end record and, in the zip64 form, its locator, which lie in one part by the format.
    for large, cut in [*((False, cut) for cut in range(1, 190, 7)), *((True, cut) for cut in range(1, 315, 7))]:
        with open_zip(split(place, files, [cut], large)) as stream, zipfile.ZipFile(stream) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == files
            assert archive.testzip() is None


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs the program zip")
@pytest.mark.parametrize("options", [[], ["-0"], ["-fz"], ["-0", "-fz"]])
def test_what_zip_makes(place: Path, options: list[str]) -> None:
    for name, data in FILES.items():
        (place / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "src" / name).write_bytes(data)
    command = ["zip", "-q", "-r", "-s", "64k", *options, "../X.zip", "."]
    subprocess.run(command, cwd=place / "src", env={**os.environ, "LC_ALL": "C.UTF-8"}, check=True, timeout=60)
    parts = [path for path in place.iterdir() if path.name.startswith("X.z")]
    assert len(parts) > 5
    assert extract(parts, place / "out") == len(FILES)
    assert content(place / "out") == FILES


def test_parts_of_more_than_4_gb(place: Path) -> None:
    files = {"a": b"1", "b": b"2" * 100}
    paths = split(place, files, [30 + 1 + 9 + 3])  # where the second member begins
    os.truncate(paths[0], 5_000_000_000)  # a hole, which takes no room
    assert extract(paths, place / "out") == 2
    assert content(place / "out") == files


def test_a_zip_of_one_part(place: Path) -> None:
    (path,) = split(place, FILES, [])
    assert extract([path], place / "out") == len(FILES)
    assert content(place / "out") == FILES


@pytest.mark.parametrize(
    "given, text",
    [
        ((0, 1, 3), "Free Sound.zip: expected 4 parts, Free Sound.z01, .*; missing Free Sound.z03; found"),
        ((3,), "missing Free Sound.z01, Free Sound.z02, Free Sound.z03; found Free Sound.zip"),
        ((0, 1), "Free Sound.z01: a part of a split zip; expected Free Sound.zip with it"),
        ((0, 1, 1, 2, 3), "expected 4 parts"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_missing_parts_are_named(place: Path, given: Sequence[int], text: str, large: bool) -> None:
    paths = split(place, FILES, [100_000, 200_000, 300_000], large)
    with pytest.raises(EspretError, match=text):
        extract([paths[index] for index in given], place / "out")
    assert not (place / "out").exists() and not (place / "out.partial").exists()


def test_a_part_too_many(place: Path) -> None:
    paths = split(place, FILES, [100_000])
    (place / "Free Sound.z02").write_bytes(b"of another version")
    with pytest.raises(EspretError, match="expected 2 parts.*found .*z02.*mend: fetch all parts"):
        extract([*paths, place / "Free Sound.z02"], place / "out")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_part_that_is_cut_off(place: Path, index: int) -> None:
    paths = split(place, FILES, [100_000, 300_000])
    paths[index].write_bytes(paths[index].read_bytes()[:-5000])
    with pytest.raises(EspretError, match="Free Sound.zip: .*damaged, or cut off.*mend"):
        extract(paths, place / "out")
    assert sorted(os.listdir(place)) == sorted(path.name for path in paths)


@pytest.mark.parametrize("large", [False, True])
def test_damage_anywhere_ends_with_a_message(place: Path, large: bool) -> None:
    paths = split(place, {"a": b"sound" * 20, "b": b"", "c": bytes(range(256))}, [90, 400], large)
    data = [path.read_bytes() for path in paths]
    rng = random.Random(1)
    for turn in range(150):
        for path, right in zip(paths, data):
            broken = bytearray(right)
            for _ in range(rng.choice([0, 1, 5])):
                broken[rng.randrange(len(broken))] = rng.choice([0, 255, rng.randrange(256)])
            path.write_bytes(broken)
        try:
            extract(paths, place.parent / f"out {turn}", lambda text: None)
        except EspretError:
            assert not (place.parent / f"out {turn}").exists()
