"""WavCaps: lists, blacklists, sounds by source, split archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from espret.data.corpora.wavcaps import WavCaps
from espret.data.corpora.wavcaps_lists import SOURCES
from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.data.sources.sources import TABLES
from espret.data.sources.table import read_download_table
from espret.errors import EspretError

IDS = {
    "audioset": ["Y-a1b2c3d4e5.wav", "Yaaaaaaaaaaa.wav", "YYYYYYYYYYYY.wav"],
    "bbc": ["07055146", "NHU05093 (2)"],
    "freesound": ["12", "34", "2219"],
    "soundbible": ["2219", "7"],
}
BLACKLISTS = {
    "all_ac": {"AudioSet": ["Y-a1b2c3d4e5.wav", "Yaaaaaaaaaaa.wav"], "FreeSound": ["12", "34", "Not found"]},
    "test_ac": {"AudioSet": ["Yaaaaaaaaaaa.wav"], "FreeSound": ["34"]},
}


class Other(Corpus):
    """The corpus of a recipe, whose lists name sounds of these origins."""

    def __init__(self, name: str, named: Iterable[str] = ()) -> None:
        self.name, self.named = name, set(named)

    def fetch(self, asked: Asked) -> None:
        raise AssertionError("not asked for")

    def clips(self, asked: Asked) -> Iterator[Clip]:
        raise AssertionError("not asked for")

    def expected(self, split: str, variant: Variant) -> int | None:
        return None

    def origins(self, asked: Asked) -> set[str]:
        return self.named


def rows(source: str) -> list[dict[str, Any]]:
    listed = [{"id": name, "caption": f"Sound {name}.", "duration": 1, "audio": "wav_path"} for name in IDS[source]]
    if source == "soundbible":
        for row in listed:
            row["href"] = f"{row['id']}-A-Sound.html"
    return listed


def write_list(archives: Path, source: str, listed: object) -> None:
    path = archives / SOURCES[source].list
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"num_captions_per_audio": 1, "data": listed}))


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """A folder with the lists and blacklists, as the hub has them."""
    folder = tmp_path / "the 'hub'"
    for source in IDS:
        write_list(folder, source, rows(source))
    for name, listed in BLACKLISTS.items():
        path = folder / "json_files" / "blacklist" / f"blacklist_exclude_{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(listed))
    return folder


@pytest.fixture
def asked(tmp_path: Path, archives: Path) -> Asked:
    """What a user asks who has own lists, and sounds in a folder with one for each source."""
    lists = [name for name in read_download_table(TABLES / "wavcaps.tsv") if name.startswith("json_files/")]
    own = tmp_path / "own.tsv"
    own.write_text("name\turl\tbytes\tdigest\n" + "".join(f"{name}\t-\t-\t-\n" for name in lists))
    audio = tmp_path / "au dio"
    for source, names in IDS.items():
        folder = audio / f"{SOURCES[source].name}_flac" / "deep; er"
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name.removesuffix('.wav')}.flac").write_bytes(source.encode())
    return Asked(("wavcaps",), downloads=tmp_path / "down loads", archives=archives, audio_dir=audio, sources=own)


def clips(asked: Asked, variant: str = "unfiltered") -> dict[str, Clip]:
    corpus, wanted = WavCaps(), replace(asked, variant=variant)
    corpus.fetch(wanted)
    return {clip.id: clip for clip in corpus.clips(wanted)}


def test_every_clip_has_its_id_name_origin_and_the_sound_of_its_source(asked: Asked) -> None:
    found = clips(asked)
    assert list(found) == [
        "wc-as--a1b2c3d4e5",
        "wc-as-aaaaaaaaaaa",
        "wc-as-YYYYYYYYYYY",
        "wc-bbc-07055146",
        "wc-bbc-NHU05093_2_",
        *("wc-fs-12", "wc-fs-34", "wc-fs-2219"),
        *("wc-sb-2219", "wc-sb-7"),
    ]
    one, other = found["wc-fs-2219"], found["wc-sb-2219"]
    assert (one.split, one.captions, one.name) == ("wavcaps", ("Sound 2219.",), "FreeSound/2219.flac")
    assert (one.origins, other.origins) == (("freesound:2219",), ())
    assert found["wc-as--a1b2c3d4e5"].origins == ("youtube:-a1b2c3d4e5",)
    for clip in found.values():
        source = next(key for key, value in SOURCES.items() if clip.id.startswith(f"wc-{value.short}-"))
        assert clip.path is not None and Path(clip.path).read_bytes() == source.encode() and not clip.why


@pytest.mark.parametrize(
    ("variant", "left_out"),
    [
        ("", {"wc-as--a1b2c3d4e5", "wc-as-aaaaaaaaaaa", "wc-fs-12", "wc-fs-34"}),
        ("blacklist-test", {"wc-as-aaaaaaaaaaa", "wc-fs-34"}),
        ("unfiltered", set()),
    ],
)
def test_blacklisted_clips_are_left_out(
    asked: Asked, variant: str, left_out: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    everything = set(clips(asked))
    capsys.readouterr()
    assert everything - set(clips(asked, variant)) == left_out
    said = capsys.readouterr().err
    assert (f"FreeSound: {len(left_out) // 2} of 3 clips are in blacklist_exclude_" in said) == bool(left_out)


def test_one_source_alone_needs_no_other(asked: Asked, archives: Path) -> None:
    for source in ("audioset", "bbc", "freesound"):
        (archives / SOURCES[source].list).unlink()
    for path in (archives / "json_files" / "blacklist").iterdir():
        path.unlink()  # SoundBible is in no blacklist
    assert list(clips(asked, "soundbible")) == ["wc-sb-2219", "wc-sb-7"]
    wanted = replace(asked, splits=("wavcaps_soundbible",))
    assert [clip.split for clip in WavCaps().clips(wanted)] == ["wavcaps_soundbible"] * 2


def test_what_is_left_in_of_the_recipes_corpus_is_said(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    def said(without: Corpus | None, variant: str) -> str:
        list(WavCaps(without).clips(replace(asked, variant=variant)))
        return capsys.readouterr().err

    clotho, audiocaps = Other("clotho"), Other("audiocaps")

    assert "unfiltered: clips, those it is tested on included, of clotho are left in FreeSound" in said(
        clotho, "unfiltered"
    )
    assert "training clips of audiocaps are left in AudioSet_SL" in said(audiocaps, "blacklist-test")
    assert "left in" not in said(clotho, "blacklist-all") + said(None, "unfiltered") + said(clotho, "unfiltered.bbc")


@pytest.mark.parametrize(("variant", "left"), [("", ["wc-fs-2219"]), ("blacklist-test", ["wc-fs-12", "wc-fs-2219"])])
def test_what_the_lists_of_the_recipes_corpus_name_is_left_out(asked: Asked, variant: str, left: list[str]) -> None:
    def freesound(corpus: WavCaps) -> list[str]:
        wanted = replace(asked, variant=f"{variant} freesound")
        corpus.fetch(wanted)
        return [clip.id for clip in corpus.clips(wanted)]

    assert freesound(WavCaps(Other("clotho"))) == left
    named = Other("clotho", {"freesound:2219", "youtube:aaaaaaaaaaa"})
    assert freesound(WavCaps(named)) == ([] if variant == "" else left)


def test_only_the_unfiltered_clips_are_foretold() -> None:
    corpus = WavCaps()
    for words, clips_of in (("all", 403050), ("bbc", 31201), ("audioset", 108317), ("freesound", 262300)):
        assert corpus.expected("wavcaps", corpus.choose(["unfiltered", words])) == clips_of
    assert corpus.expected("wavcaps", corpus.choose(["bbc"])) is None
    assert corpus.parse("wavcaps_freesound", "") == ("wavcaps", ("blacklist-all", "freesound"))


def test_missing_sounds_are_named(asked: Asked) -> None:
    assert asked.audio_dir is not None
    (asked.audio_dir / "SoundBible_flac" / "deep; er" / "7.flac").unlink()
    (asked.audio_dir / "SoundBible_flac" / "deep; er" / "2219.flac").rename(
        asked.audio_dir / "SoundBible_flac" / "2219-A-Sound.flac"
    )
    found = clips(asked)
    assert Path(str(found["wc-sb-2219"].path)).name == "2219-A-Sound.flac"
    assert found["wc-sb-7"].path is None
    assert "no file named 7 or 7-A-Sound in" in found["wc-sb-7"].why


def test_sounds_that_are_not_listed_are_left_alone(asked: Asked) -> None:
    """The archive of SoundBible has 88 of them."""
    assert asked.audio_dir is not None
    (asked.audio_dir / "SoundBible_flac" / "88.flac").touch()
    assert list(clips(asked, "soundbible")) == ["wc-sb-2219", "wc-sb-7"]


def test_folders_of_sounds(asked: Asked, tmp_path: Path) -> None:
    assert asked.audio_dir is not None
    (asked.audio_dir / "Audio").mkdir()
    (asked.audio_dir / "FreeSound_flac").rename(asked.audio_dir / "Audio" / "FreeSound")
    assert clips(asked, "unfiltered freesound")["wc-fs-12"].path is not None
    one = replace(asked, audio_dir=asked.audio_dir / "Audio" / "FreeSound")
    assert clips(one, "unfiltered freesound")["wc-fs-12"].path is not None
    with pytest.raises(
        EspretError, match="no folder of AudioSet_SL; expected one called AudioSet_SL, AudioSet_SL_flac"
    ):
        clips(one, "unfiltered")


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({}, "expected an object with a list 'data'"),
        (["x"], r"data\[0\]: 'x'; expected an object with 'id'"),
        ([{"id": 7, "caption": "a"}], "expected an object with 'id', a text"),
        ([{"id": "7"}], "expected an object with 'caption', a text"),
        ([{"id": "", "caption": "a"}], "id '' is empty"),
        ([{"id": "7", "caption": "a"}, {"id": "7", "caption": "b"}], r"data\[1\]: id '7' is there twice"),
        ([{"id": "7", "caption": " "}], r"data\[0\]: the caption of '7' is empty; .*--bad-caption drop"),
    ],
)
def test_lists_are_read_strictly(asked: Asked, archives: Path, listed: object, expected: str) -> None:
    write_list(archives, "soundbible", listed)
    with pytest.raises(EspretError, match=f"sb_final.json: .*{expected}"):
        clips(asked, "soundbible")


def test_an_audioset_id_of_another_form_is_an_error(asked: Asked, archives: Path) -> None:
    write_list(archives, "audioset", [{"id": "abc.wav", "caption": "a"}])
    with pytest.raises(EspretError, match=r"data\[0\]: id 'abc.wav'; expected Y<YouTube id>.wav"):
        clips(asked, "audioset")


def test_a_clip_without_a_caption_is_left_out_on_demand(asked: Asked, archives: Path) -> None:
    write_list(archives, "soundbible", [{"id": "7", "caption": ""}])
    [clip] = clips(replace(asked, bad_caption="drop"), "soundbible").values()
    assert (clip.path, clip.captions, clip.why) == (None, (), "its only caption is empty")


def test_a_malformed_blacklist_is_an_error(asked: Asked, archives: Path) -> None:
    path = archives / "json_files" / "blacklist" / "blacklist_exclude_all_ac.json"
    path.write_text(json.dumps({"FreeSound": [12]}))
    with pytest.raises(EspretError, match="blacklist_exclude_all_ac.json: no list of texts 'FreeSound'"):
        clips(asked, "freesound")


def test_another_number_of_clips_is_an_error_unless_the_list_is_the_users(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, archives: Path
) -> None:
    path = archives / SOURCES["soundbible"].list
    table = archives / "wavcaps.tsv"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    official = (TABLES / "wavcaps.tsv").read_text().splitlines(keepends=True)
    row = f"{SOURCES['soundbible'].list}\t-\t-\tsha256:{digest}\n"
    table.write_text("".join(row if line.startswith("json_files/SoundBible") else line for line in official))
    monkeypatch.setattr("espret.data.sources.sources.TABLES", archives)
    wanted = replace(asked, sources=None)
    assert WavCaps().own(asked) and not WavCaps().own(wanted)
    with pytest.raises(EspretError, match=r"sb_final.json: 2 clips; expected 1232"):
        clips(wanted, "unfiltered soundbible")


# Archives.


def split_zip(folder: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write a zip in two parts, NAME.z01 with the first file and NAME.zip with the others."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        cut = archive.infolist()[1].header_offset
        start = archive.start_dir
    data = bytearray(whole.getvalue())
    at = start
    for info in archive.infolist():
        if info.header_offset >= cut:
            struct.pack_into("<H", data, at + 34, 1)
            struct.pack_into("<L", data, at + 42, info.header_offset - cut)
        at += 46 + len(info.filename.encode())
    struct.pack_into("<2H", data, at + 4, 1, 1)
    struct.pack_into("<L", data, at + 16, start - cut)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.z01").write_bytes(data[:cut])
    (folder / f"{name}.zip").write_bytes(data[cut:])


def test_archives_are_extracted_with_as_many_parts_as_there_are(asked: Asked, archives: Path) -> None:
    deep = "mnt/data/waveforms/FreeSound_flac"
    files = {f"{deep}/{name}.flac": name.encode() for name in IDS["freesound"]}
    split_zip(archives / "Zip_files" / "FreeSound", "FreeSound", files)
    wanted = replace(asked, audio_dir=None)
    found = clips(wanted, "freesound.unfiltered")
    assert {clip.id: Path(str(clip.path)).read_bytes() for clip in found.values()} == {
        f"wc-fs-{name}": name.encode() for name in IDS["freesound"]
    }
    for part in (archives / "Zip_files" / "FreeSound").iterdir():
        part.unlink()
    assert clips(wanted, "freesound.unfiltered") == found  # what is extracted needs no archive


def test_parts_may_lie_beside_each_other_and_a_missing_one_is_named(asked: Asked, archives: Path) -> None:
    split_zip(archives, "AudioSet_SL", {f"{name}.flac": b"x" for name in ("Y-a1b2c3d4e5", "Yaaaaaaaaaaa")})
    wanted = replace(asked, audio_dir=None, sources=without_addresses(asked))
    assert clips(wanted, "audioset unfiltered")["wc-as-aaaaaaaaaaa"].path is not None
    split_zip(archives, "BBC_Sound_Effects", {f"{name}.flac": b"x" for name in IDS["bbc"]})
    (archives / "BBC_Sound_Effects.z01").unlink()
    with pytest.raises(EspretError, match=r"BBC_Sound_Effects\.z01.* has no public address"):
        clips(wanted, "bbc")


def test_what_is_no_zip_is_said(asked: Asked, archives: Path) -> None:
    (archives / "SoundBible.zip").write_text("<html>Sorry</html>")
    with pytest.raises(EspretError, match="SoundBible.zip.*web page"):
        clips(replace(asked, audio_dir=None, sources=without_addresses(asked)), "soundbible")


def without_addresses(asked: Asked) -> Path:
    """A user's table in which nothing can be downloaded."""
    path = asked.downloads.parent / "no addresses.tsv"
    names = read_download_table(TABLES / "wavcaps.tsv")
    path.write_text("name\turl\tbytes\tdigest\n" + "".join(f"{name}\t-\t-\t-\n" for name in names))
    return path


def test_the_table_has_every_list_and_part() -> None:
    table = read_download_table(TABLES / "wavcaps.tsv")
    for source in SOURCES.values():
        assert table[source.list].digest is not None
    assert all(f"/resolve/0930ec11ded28fa0eaa910fde2f6fc3538acbeac/{name}" in row.url for name, row in table.items())
    parts = [len([name for name in table if name.startswith(f"Zip_files/{one.name}/")]) for one in SOURCES.values()]
    assert parts == [8, 26, 123, 1]


# The published files.


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder with the published files that are at hand, unpacked."""
    root = os.environ.get("ESPRET_TEST_DATA")
    if not root:
        pytest.skip("ESPRET_TEST_DATA is not set")
    folder = tmp_path / "published"
    folder.mkdir()
    for path in Path(root, "csv", "wavcaps").glob("*.json.gz"):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


def test_the_published_list_of_soundbible(published: Path, tmp_path: Path) -> None:
    wanted = Asked(("wavcaps_soundbible",), downloads=tmp_path / "d", archives=published, audio_dir=tmp_path / "audio")
    (tmp_path / "audio").mkdir()
    corpus = WavCaps(Other("clotho"))
    corpus.fetch(wanted)  # checks the digests of list and blacklist
    found = list(corpus.clips(wanted))
    assert len(found) == len({clip.id for clip in found}) == 1232 and not corpus.own(wanted)
    assert all(clip.captions and clip.path is None for clip in found)


def test_the_published_blacklists_remove_what_they_name(published: Path, asked: Asked, archives: Path) -> None:
    for variant, name, audioset, freesound in (
        ("blacklist-all", "blacklist_exclude_all_ac.json", 50725, 5905),
        ("blacklist-test", "blacklist_exclude_test_ac.json", 1451, 2078),
    ):
        listed = json.loads((published / name).read_text())
        (archives / "json_files" / "blacklist" / name).write_bytes((published / name).read_bytes())
        for source, key, left_out in (("audioset", "AudioSet", audioset), ("freesound", "FreeSound", freesound)):
            names = list(dict.fromkeys(listed[key]))
            assert len(names) == left_out
            write_list(archives, source, [{"id": one, "caption": "a"} for one in [*names, *IDS[source][:1]]])
            assert len(clips(asked, f"{variant}.{source}")) <= 1
