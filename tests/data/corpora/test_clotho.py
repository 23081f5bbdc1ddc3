"""Clotho: official layouts made of generated files, with every defect of the published lists."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import py7zr
import pytest
from whole_recipes import ROOT

from espret.data.corpora.clotho import CAPTIONS, EXPECTED, Clotho
from espret.data.corpora.clotho_audio import ALMOST_TWICE, TWICE
from espret.data.corpus import Asked, Clip
from espret.data.ids import check_id
from espret.data.local import corpora
from espret.data.sources.sources import TABLES
from espret.data.sources.table import read_download_table
from espret.data.tables import list_sha256
from espret.errors import EspretError

SPLITS = {"train": "development", "valid": "validation", "test": "evaluation"}
NAMES = {  # what real names are like; the same in two splits: as in the real lists
    "development": [
        "plain.wav",
        " lead.wav",
        "end .wav",
        "two  blanks.wav",
        "Geese1 - (Apollonia&#39;s sPA) 18_44 05.10.wav",
        "Geese1 - (Apollonia__39_s sPA) 18_44 05.10.wav",
        "&quot;quoted&quot; & more; #1, 100% [a] @ ~ + !.wav",
        "-rf.wav",
        "Car Keys.wav",
        "Car_Keys.wav",
        "Rain ambience.wav",
        "Rain Ambience .wav",
        "KOOKABURRA..WAV.wav",
        f"{'as long as they are ' * 6}(in v2.1).wav",
        "Knocking.wav",
        "City Ambience w_ Car Passing_1-2.wav",
        "FREEZER_DOOR_OPEN_CLOSE.wav",
    ],
    "validation": [
        "Knocking .wav",
        "City Ambience w_ Car Passing_1-2.wav",
        "Bus(Drive_Reverse)_1-2.wav",
        "01 A pug struggles to breathe 1_14_2008.wav",
    ],
    "evaluation": [
        "plain too.wav",
        "FREEZER_DOOR_OPEN_CLOSE.wav",
        "Bus(Drive_Reverse)_1-2.wav",
        "01 A pug struggles to breathe 1_14_2008.wav",
    ],
}
VALID_OF_V1 = "c4503dc84ba3348e8a91beba962b075799632c4906b6d96d27c9063e524aa82d"
VALID_OF_30 = [f"clotho-dev-{row:05d}" for row in (1, 3, 11, 13, 17, 19)]
METADATA = ("file_name", "keywords", "sound_id", "sound_link", "start_end_samples", "manufacturer", "license")


class Official:
    """A folder of archives as Zenodo has them, and the download table with their digests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archives = root / "my archives' folder"
        self.table = root / "sources.tsv"
        self.asked = Asked((), downloads=root / "down loads", archives=self.archives, sources=self.table)

    def put(self, version: str, names: Mapping[str, Sequence[str]] = NAMES, audio: bool = True) -> None:
        """Write the files of a version."""
        for split, files in names.items():
            rows = [
                [name, *(f"{split} sound {row}, caption {k}." for k in range(1, 6))] for row, name in enumerate(files)
            ]
            self.csv(version, "captions", split, ("file_name", *CAPTIONS), rows)
            first = 1000 * list(NAMES).index(split)  # no Freesound id is in two splits
            rows = [[name, "a;b", first + row, "-", "[0, 9]", "Fr\xfchling", "CC0"] for row, name in enumerate(files)]
            self.csv(version, "metadata", split, METADATA, rows, "latin-1")
            if audio:
                self.seven_zip(version, split, files)
        self.write_table()

    def csv(
        self, version: str, kind: str, split: str, columns: Sequence[str], rows: Any, encoding: str = "ascii"
    ) -> Path:
        path = self.archives / version / f"clotho_{kind}_{split}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        ends = "\n" if split == "evaluation" or version == "v1" else "\r\n"
        with open(path, "w", newline="", encoding=encoding) as stream:
            csv.writer(stream, lineterminator=ends).writerows([columns, *rows])
        return path

    def seven_zip(self, version: str, split: str, files: Sequence[str]) -> None:
        with py7zr.SevenZipFile(self.archives / version / f"clotho_audio_{split}.7z", "w") as archive:
            for name in files:
                archive.writestr(sound(version, split, name), f"{split}/{name}")

    def write_table(self) -> None:
        """Give the files the digests that they have; nothing is to be downloaded."""
        rows = ["name\turl\tbytes\tdigest"]
        for name in read_download_table(TABLES / "clotho.tsv"):
            path = self.archives / name
            rows.append(
                f"{name}\t-\t-\t{'md5:' + hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else '-'}"
            )
        self.table.write_text("\n".join(rows) + "\n")

    def clips(self, *splits: str, **options: Any) -> list[Clip]:
        """What fetch and then clips give."""
        asked = dataclasses.replace(self.asked, splits=splits, **options)
        Clotho().fetch(asked)
        return list(Clotho().clips(asked))


def caption(split: str, row: int, k: int) -> str:
    return f"{split} sound {row}, caption {k}."


def sound(version: str, split: str, name: str) -> str:
    """The content of a sound file: nothing here decodes it."""
    return f"{version} {split} {name}"


@pytest.fixture
def official(tmp_path: Path) -> Official:
    return Official(tmp_path)


def lay_out(root: Path, folders: Mapping[str, str], names: Mapping[str, Sequence[str]] = NAMES) -> Path:
    """A folder with the sounds of each split in a folder of its own; `folders` are their names."""
    for split, folder in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names[split]:
            (root / folder / name).write_text(sound("v2.1", split, name))
    return root


def contents(clips: Sequence[Clip]) -> list[str]:
    return [Path(clip.path).read_text() if clip.path else "" for clip in clips]


def test_from_archives(official: Official) -> None:
    official.put("v2.1")
    clips = official.clips("train", "valid", "test")
    expected = [
        (split, f"clotho-{ {'train': 'dev', 'valid': 'val', 'test': 'eval'}[split] }-{row:05d}", name)
        for split, part in SPLITS.items()
        for row, name in enumerate(NAMES[part], 1)
    ]
    assert [(clip.split, clip.id, clip.name) for clip in clips] == expected
    assert [check_id(clip.id, "") for clip in clips] == list({clip.id: None for clip in clips})
    assert contents(clips) == [sound("v2.1", SPLITS[clip.split], clip.name) for clip in clips]
    assert not any(clip.why for clip in clips)
    assert clips[1].captions == [caption("development", 1, k) for k in range(1, 6)]
    assert [clip.origins for clip in clips][16:18] == [("freesound:16",), ("freesound:1000",)]


def test_a_second_time_nothing_is_extracted(official: Official) -> None:
    official.put("v2.1")
    first = official.clips("test")
    inodes = [Path(clip.path or "").stat().st_ino for clip in first]
    assert official.clips("test") == first
    assert [Path(clip.path or "").stat().st_ino for clip in first] == inodes


def test_only_what_is_asked_for_is_needed(official: Official) -> None:
    official.put("v2.1", {"evaluation": NAMES["evaluation"]})
    assert len(official.clips("test")) == 4
    with pytest.raises(EspretError, match=r"clotho_captions_development\.csv of clotho has no public address; mend: "):
        official.clips("train")


def test_captions_are_kept_as_they_are(official: Official) -> None:
    official.put("v2.1")
    odd = [" blank first", "blank last ", "two  blanks , and a comma", "no final period", 'a "quoted" one, so to say.']
    official.csv("v2.1", "captions", "evaluation", ("file_name", *CAPTIONS), [["plain too.wav", *odd]])
    official.write_table()
    assert official.clips("test")[0].captions == odd


@pytest.mark.parametrize("rule, left", [("drop", 4), ("keep", 5)])
def test_an_empty_caption(official: Official, rule: str, left: int) -> None:
    official.put("v2.1")
    rows = [["plain too.wav", "one", "two", " ", "four", "five"]]
    path = official.csv("v2.1", "captions", "evaluation", ("file_name", *CAPTIONS), rows)
    official.write_table()
    with pytest.raises(EspretError, match=re.escape(f"{path}:2: 'caption_3' of 'plain too.wav' is empty")):
        official.clips("test")
    assert len(official.clips("test", bad_caption=rule)[0].captions) == left


def test_a_bad_list_is_an_error_with_its_line(official: Official) -> None:
    official.put("v2.1")
    rows = [["a.wav", *"12345"], ["b.wav", *"12345"], ["a.wav", *"12345"]]
    path = official.csv("v2.1", "captions", "evaluation", ("file_name", *CAPTIONS), rows)
    official.write_table()
    with pytest.raises(EspretError, match=re.escape(f"{path}:4: 'file_name' 'a.wav' again, first in line 2")):
        official.clips("test")
    official.csv("v2.1", "captions", "evaluation", ("file_name", *CAPTIONS[:4]), [["a.wav", *"1234"]])
    official.write_table()
    with pytest.raises(EspretError, match=re.escape(f"{path}:1: found the header 'file_name,caption_1")):
        official.clips("test")


def test_metadata(official: Official, capsys: pytest.CaptureFixture[str]) -> None:
    official.put("v2.1")
    ids = {"plain too.wav": "80399", "FREEZER_DOOR_OPEN_CLOSE.wav": "Not found", "Bus(Drive_Reverse)_1-2.wav": "12 "}
    rows = [[name, "caf\xe9", sound, "", "[1, 2]", "M\xf6we", "CC"] for name, sound in reversed(ids.items())]
    official.csv("v2.1", "metadata", "evaluation", METADATA, rows, "latin-1")
    official.write_table()
    assert [clip.origins for clip in official.clips("test")] == [("freesound:80399",), (), ("freesound:12",), ()]
    assert "no Freesound id of 2 of the 4 clips of 'test'" in capsys.readouterr().err


def test_metadata_may_be_missing_from_a_folder_of_archives_only(
    official: Official, capsys: pytest.CaptureFixture[str]
) -> None:
    official.put("v2.1")
    missing = official.archives / "v2.1/clotho_metadata_evaluation.csv"
    kept = missing.read_text("latin-1")
    missing.unlink()
    assert not any(clip.origins for clip in official.clips("test"))
    said = capsys.readouterr().err
    assert "warning: no v2.1/clotho_metadata_evaluation.csv" in said and "leaks cannot be found" in said
    missing.write_text(kept + "damaged", "latin-1")
    with pytest.raises(EspretError, match="not the file v2.1/clotho_metadata_evaluation.csv"):
        official.clips("test")
    missing.unlink()
    os.rename(official.archives, official.root / "down loads/clotho/own")
    with pytest.raises(EspretError, match=r"clotho_metadata_evaluation\.csv of clotho has no public address"):
        official.clips("test", archives=None)


@pytest.mark.parametrize(
    "folders",
    [
        ("development", "validation", "evaluation"),
        ("clotho_audio_files/Development", "clotho_audio_files/Validation", "clotho_audio_files/Evaluation"),
        ("clotho_audio_development/development", "clotho_audio_validation/x/y", "clotho_audio_evaluation/evaluation"),
        ("dev", "val", "eval"),
        ("waveforms/train", "waveforms/valid", "waveforms/test"),
        ("development-training", "development-validation", "development-testing"),
    ],
)
def test_audio_dir_with_a_folder_a_split(official: Official, folders: Sequence[str]) -> None:
    official.put("v2.1", audio=False)
    audio = lay_out(official.root / "the; sounds", dict(zip(NAMES, folders)))
    clips = official.clips("test", "valid", "train", audio_dir=audio)
    assert contents(clips) == [sound("v2.1", SPLITS[clip.split], clip.name) for clip in clips]


def test_audio_dir_may_be_the_split_s_folder_itself(official: Official) -> None:
    official.put("v2.1", audio=False)
    audio = lay_out(official.root / "x", {"validation": "Validation"}) / "Validation"
    assert all(clip.path for clip in official.clips("valid", audio_dir=audio))


def test_the_best_called_folder_is_taken(official: Official) -> None:
    official.put("v2.1", audio=False)
    audio = lay_out(official.root / "x", {"evaluation": "evaluation"})
    (audio / "test").mkdir()  # DCASE's hidden test set has no captions
    assert all(clip.path for clip in official.clips("test", audio_dir=audio))


def test_folders_that_cannot_be_told_apart(official: Official) -> None:
    official.put("v2.1", audio=False)
    audio = lay_out(official.root / "x", {"evaluation": "a/evaluation"})
    lay_out(audio, {"evaluation": "b/evaluation"})
    with pytest.raises(
        EspretError, match=r"several folders for the split 'evaluation': .*a/evaluation, .*b/evaluation"
    ):
        official.clips("test", audio_dir=audio)
    with pytest.raises(EspretError, match="no folder for the split 'validation', but for others; expected one called"):
        official.clips("valid", audio_dir=audio / "a")


def test_all_sounds_in_one_folder(official: Official) -> None:
    """Of a name that two splits have, one folder holds one file, and nothing tells whose it is."""
    official.put("v2.1", audio=False)
    audio = lay_out(official.root / "x", dict.fromkeys(NAMES, "."))
    clips = official.clips("train", "valid", "test", audio_dir=audio)
    missing = [clip for clip in clips if clip.path is None]
    assert Counter(Path(clip.name).stem for clip in missing) == dict.fromkeys(TWICE, 2)
    assert all("two splits have a file named" in clip.why and "development, validation" in clip.why for clip in missing)
    found = [clip for clip in clips if clip.path]
    assert contents(found) == [sound("v2.1", SPLITS[clip.split], clip.name) for clip in found]
    (audio / f"{ALMOST_TWICE[1]}.wav").unlink()  # as after stripping, when one of the two became the other
    clips = official.clips("train", "valid", audio_dir=audio)
    assert [clip.path for clip in clips if clip.name.startswith("Knocking")] == [None, None]


def test_other_formats_and_a_missing_sound(official: Official) -> None:
    official.put("v2.1", audio=False)
    audio = lay_out(official.root / "x", dict(zip(NAMES, NAMES)))
    for path in (audio / "development").iterdir():
        path.rename(path.with_suffix(".flac"))
    (audio / "development/plain.flac").unlink()
    clips = official.clips("train", audio_dir=audio)
    assert contents(clips[1:]) == [sound("v2.1", "development", clip.name) for clip in clips[1:]]
    assert (
        clips[0].path is None
        and clips[0].why == f"no file named 'plain' (.wav, .flac or the like) in {audio}/development"
    )


def test_names_that_tools_have_stripped(official: Official) -> None:
    official.put("v2.1", audio=False)
    audio = lay_out(official.root / "x", dict(zip(NAMES, NAMES)))
    for path in (audio / "development").iterdir():
        path.rename(path.with_name(f"{path.stem.strip()}.wav"))
    clips = official.clips("train", audio_dir=audio)
    assert contents(clips) == [sound("v2.1", "development", clip.name) for clip in clips]


def test_a_stripped_name_that_is_another_clip_s(official: Official) -> None:
    names = {"evaluation": ["a.wav", "a .wav", " b.wav", "b .wav"]}
    official.put("v2.1", names, audio=False)
    audio = lay_out(official.root / "x", {"evaluation": "evaluation"}, {"evaluation": ["a.wav", "b.wav"]})
    clips = official.clips("test", audio_dir=audio)
    assert contents(clips) == ["v2.1 evaluation a.wav", "", "", ""]


@pytest.mark.parametrize(
    "name, patched",
    [
        ("raindrops on metal: police background.wav", "raindrops on metal_police background.wav"),
        ("Intersection Wet : Metro Pass.wav", "Intersection Wet_Metro Pass.wav"),
        ("Kitchen Roomtone w: Dripping Faucet_1-2.wav", "Kitchen Roomtone w_ Dripping Faucet_1-2.wav"),
    ],
)
def test_names_with_a_colon(official: Official, name: str, patched: str) -> None:
    official.put("v2", {"evaluation": [name]}, audio=False)
    audio = official.root / "evaluation"
    audio.mkdir()
    (audio / patched).write_text("it")
    assert contents(official.clips("test_v2", audio_dir=audio)) == ["it"]
    (audio / patched).unlink()
    assert "around 150 sound files of Clotho v2 are damaged" in official.clips("test_v2", audio_dir=audio)[0].why


def test_v2_is_taken_when_it_is_asked_for(official: Official, capsys: pytest.CaptureFixture[str]) -> None:
    official.put("v2")
    assert contents(official.clips("train_v2"))[0] == "v2 development plain.wav"
    assert "warning: around 150 sound files of Clotho v2 are damaged" in capsys.readouterr().err
    assert contents(official.clips("valid", variant="v2"))[0] == "v2 validation Knocking .wav"


def test_audio_of_v2_is_refused_for_v2_1(official: Official) -> None:
    official.put("v2")
    official.put("v2.1")
    wrong = official.archives / "v2.1/clotho_audio_development.7z"
    wrong.write_bytes((official.archives / "v2/clotho_audio_development.7z").read_bytes())
    with pytest.raises(EspretError, match=r"not the file v2\.1/.*it is v2/clotho_audio_development\.7z"):
        official.clips("train")


def test_the_files_may_lie_in_one_folder(official: Official) -> None:
    official.put("v2.1")
    for path in list((official.archives / "v2.1").iterdir()):
        path.rename(official.archives / path.name)
    assert len(official.clips("train", "valid", "test")) == 25


def test_version_1_is_divided_always_in_the_same_way(official: Official) -> None:
    names = {"development": [f"sound {row}.wav" for row in range(30)], "evaluation": ["a.wav"]}
    official.put("v1", names)
    parts = {split: official.clips(split, variant="v1") for split in ("train", "valid", "test")}
    assert [clip.id for clip in parts["valid"]] == VALID_OF_30
    numbers = [int(clip.id[-5:]) for split in ("train", "valid") for clip in parts[split]]
    assert sorted(numbers) == list(range(1, 31))
    assert all(contents(parts[split]) for split in parts)
    assert [clip.id for clip in official.clips("train_v1", "valid_v1")] == [
        clip.id for split in ("train", "valid") for clip in parts[split]
    ]
    assert [clip.id for clip in parts["test"]] == ["clotho-eval-00001"]


def test_keyword_augmented_captions(official: Official, capsys: pytest.CaptureFixture[str]) -> None:
    official.put("v2.1")
    entries = [
        {
            "idx": 5 * row + k,
            "path": f"/x/{name}",
            "caption": caption("development", row, k + 1),
            "variations": [f"{row} {k} {v}" for v in range(5)],
        }
        for row, name in enumerate(NAMES["development"])
        for k in range(5)
    ]
    path = official.archives / "gpt/variations.json"
    path.parent.mkdir()
    path.write_text(json.dumps(entries))
    plain, train = official.clips("train"), official.clips("train_gpt")
    assert [clip.id for clip in train] == [clip.id for clip in plain] and train[0].split == "train_gpt"
    assert [clip.captions[:5] for clip in train] == [clip.captions for clip in plain]
    assert train[3].captions[5:] == [f"3 {k} {v}" for k in range(5) for v in range(5)]
    assert "captions" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "split, variant", [("valid_gpt", ""), ("test", "gpt"), ("train_gpt", "v1"), ("train_gpt", "v2")]
)
def test_the_augmented_captions_are_of_one_set_only(official: Official, split: str, variant: str) -> None:
    official.put("v2.1")
    with pytest.raises(EspretError, match=f"'{split}' of v.* has no variant gpt.*mend: say train_gpt"):
        official.clips(split, variant=variant)


def test_counts_and_own_lists(official: Official) -> None:
    corpus = Clotho()
    assert corpus.expected(*corpus.parse("train", "")) == 3839
    assert corpus.expected(*corpus.parse("valid_v1", "")) == 579
    assert corpus.expected(*corpus.parse("train_gpt", "")) == 3839
    official.put("v2.1")
    asked = dataclasses.replace(official.asked, splits=("test",))
    assert corpus.own(asked)
    assert not corpus.own(dataclasses.replace(asked, sources=None))
    rows = [line for line in official.table.read_text().splitlines() if "captions" not in line]
    official.table.write_text("\n".join(rows))
    assert not corpus.own(asked)


def test_the_recipe() -> None:
    listed = corpora(ROOT / "egs/clotho/local/data.py", "clotho")
    assert [corpus.name for corpus in listed] == ["clotho", "wavcaps"]


# ------------------------------------------------------------------------------------------------------- real lists
@pytest.fixture
def real(tmp_path: Path) -> Iterator[Official]:
    """The published lists, with metadata and empty sound files made to fit."""
    root = Path(os.environ.get("ESPRET_TEST_DATA", ""), "csv")
    if "ESPRET_TEST_DATA" not in os.environ or not (root / "clotho_v2.1").is_dir():
        pytest.skip("ESPRET_TEST_DATA names no folder with csv/clotho_v2.1")
    official = Official(tmp_path)
    for version in ("v1", "v2.1"):
        for path in (root / f"clotho_{version}").iterdir():
            copy = official.archives / version / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    for part, split in (("train", "development"), ("val", "validation"), ("test", "evaluation")):
        with gzip.open(root / f"wavcaps_clotho_json/retrieval_{part}.json.gz", "rt") as stream:
            rows = [[Path(row["wav"]).name, row["id"]] for row in json.load(stream)["data"]]
        for version in ("v1", "v2.1"):
            official.csv(version, "metadata", split, ("file_name", "sound_id"), rows)
    official.write_table()
    rows = official.table.read_text().splitlines()
    official.table.write_text("\n".join(row for row in rows if "captions" not in row))
    yield official


def real_sounds(official: Official, audio: Path) -> Path:
    for split in SPLITS.values():
        (audio / split).mkdir(parents=True, exist_ok=True)
        for name in names_of(official, split):
            (audio / split / name).touch()
    return audio


def names_of(official: Official, split: str) -> list[str]:
    with open(official.archives / f"v2.1/clotho_captions_{split}.csv", newline="") as stream:
        return [row["file_name"] for row in csv.DictReader(stream)]


def test_the_real_lists(real: Official, capsys: pytest.CaptureFixture[str]) -> None:
    """Digests are those of the download table: a list with another one would be refused."""
    assert not Clotho().own(dataclasses.replace(real.asked, splits=("train", "valid", "test")))
    clips = real.clips("train", "valid", "test", audio_dir=real_sounds(real, real.root / "audio"))
    assert Counter(clip.split for clip in clips) == EXPECTED["v2.1"]
    assert len({check_id(clip.id, "") for clip in clips}) == len({str(clip.path) for clip in clips}) == 5929
    assert all(Path(clip.path or "").name == clip.name for clip in clips)
    assert all(Path(clip.path or "").parent.name == SPLITS[clip.split] for clip in clips)
    assert all(len(clip.captions) == 5 and all(map(str.strip, clip.captions)) for clip in clips)
    again = [name for name, count in Counter(clip.name for clip in clips).items() if count > 1]
    assert {Path(name).stem for name in again} == TWICE
    assert sum(not clip.origins for clip in clips) == 19
    origins = {split: {origin for clip in clips if clip.split == split for origin in clip.origins} for split in SPLITS}
    shared = [len(origins[a] & origins[b]) for a, b in (("train", "valid"), ("train", "test"), ("valid", "test"))]
    assert shared == [2, 1, 2], "what conf/leaks.yaml declares"
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": no ")[2] for line in said] == [
        f"Freesound id of {none} of the {of} clips of '{split}'"
        for none, of, split in ((8, 3839, "train"), (6, 1045, "valid"), (5, 1045, "test"))
    ]


def test_the_real_lists_of_version_1(real: Official) -> None:
    audio = real_sounds(real, real.root / "audio")
    clips = real.clips("train", "valid", "test", variant="v1", audio_dir=audio)
    assert Counter(clip.split for clip in clips) == EXPECTED["v1"]
    assert list_sha256(clip.id for clip in clips if clip.split == "valid") == VALID_OF_V1
    later = {clip.id: clip for clip in real.clips("train", "test", audio_dir=audio)}
    assert all((clip.name, clip.captions) == (later[clip.id].name, later[clip.id].captions) for clip in clips)


def test_the_real_names_in_one_folder_and_stripped(real: Official) -> None:
    split = real_sounds(real, real.root / "audio")
    flat = real.root / "flat"
    flat.mkdir()
    for part in SPLITS.values():
        for path in (split / part).iterdir():
            (flat / path.name).touch()
            path.rename(path.with_name(f"{path.stem.strip()}.wav"))
    missing = [clip for clip in real.clips("train", "valid", "test", audio_dir=flat) if clip.path is None]
    assert Counter(Path(clip.name).stem for clip in missing) == dict.fromkeys(TWICE, 2)
    clips = real.clips("train", "valid", "test", audio_dir=split)
    assert len({str(clip.path) for clip in clips if clip.path}) == 5929


def test_real_clips(real: Official) -> None:
    audio = Path(os.environ["ESPRET_TEST_DATA"], "audio/clotho")
    if not (audio / "validation").is_dir():
        pytest.skip("ESPRET_TEST_DATA names no folder with audio/clotho/validation")
    there = sorted(path.stem for path in (audio / "validation").iterdir())
    found = [clip for clip in real.clips("valid", audio_dir=audio) if clip.path]
    assert sorted(Path(clip.name).stem for clip in found) == there
