"""Folders of archives as corpora are published, filled with other sounds, for whole recipes and their stage 0."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import py7zr
import pytest
import soundfile

from espret.data.scenes import scene


@dataclass
class Sound:
    """A clip to publish: its name in the corpus (a file name, a YouTube id), its captions, the bytes of a WAV file."""

    name: str
    captions: Sequence[str]
    wav: bytes


OWN_SOUNDS = "sounds of a friend.zip"
Splits = Mapping[str, Sequence[Sound]]


def generated(sizes: Mapping[str, int], name: str, captions: int = 5, rate: int = 16000) -> dict[str, list[Sound]]:
    """Synthetic scenes; `name` is a pattern with {split} and {number}."""
    made: dict[str, list[Sound]] = {}
    for split, size in sizes.items():
        for number in range(size):
            clip = scene(5, split, number)
            sound = Sound(name.format(split=split, number=number), clip.captions[:captions], wav(clip.samples, rate))
            made.setdefault(split, []).append(sound)
    return made


def wav(samples: object, rate: int) -> bytes:
    """Samples as the bytes of a WAV file."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV")
    return stream.getvalue()


def recorded(rows: Iterable[Mapping[str, str]], name: str) -> list[Sound]:
    """Real clips of the manifest, called by its column `name`."""
    audio = test_data() / "audio"
    return [
        Sound(
            row[name],
            [row[f"caption_{k}"] for k in range(1, 6) if row[f"caption_{k}"]],
            wav(*soundfile.read(audio / row["file"])),
        )
        for row in rows
    ]


def test_data() -> Path:
    """The folder of real clips and lists; skips where there is none."""
    if "ESPRET_TEST_DATA" not in os.environ:
        pytest.skip("ESPRET_TEST_DATA does not name a folder with real clips")
    return Path(os.environ["ESPRET_TEST_DATA"])


test_data.__test__ = False  # type: ignore[attr-defined]


def manifest(dataset: str) -> list[dict[str, str]]:
    """The rows of the real clips whose data set begins so."""
    with open(test_data() / "audio/manifest.csv", encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["dataset"].startswith(dataset) and row["caption_1"]]


def write_csv(path: Path, rows: Iterable[Sequence[object]], ends: str = "\r\n", encoding: str = "utf-8") -> None:
    """Write a csv file with these line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding=encoding, newline="") as stream:
        csv.writer(stream, lineterminator=ends).writerows(rows)


def write_sources(folder: Path, table: Path) -> None:
    """The download table of a folder: the digests of its files, but of sounds of one's own. They are nowhere else."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != OWN_SOUNDS)
    rows = [f"{path.relative_to(folder)}\t-\t-\tmd5:{hashlib.md5(path.read_bytes()).hexdigest()}" for path in files]
    table.write_text("\n".join(["name\turl\tbytes\tdigest", *rows]) + "\n", encoding="utf-8")


def clotho(folder: Path, splits: Splits, version: str = "v2.1") -> None:
    """Clotho as on Zenodo: 7z archives, captions, metadata in Latin-1. `splits` by official names."""
    place = folder / version
    number = 0
    for split, sounds in splits.items():
        ends = "\n" if split == "evaluation" else "\r\n"
        header = ["file_name", *(f"caption_{k}" for k in range(1, 6))]
        write_csv(
            place / f"clotho_captions_{split}.csv", [header, *([one.name, *one.captions] for one in sounds)], ends
        )
        header = ["file_name", "keywords", "sound_id", "sound_link", "start_end_samples", "manufacturer", "license"]
        rows = []
        for one in sounds:
            number += 1
            rows.append([one.name, "a;b", 1000 + number, "http://", "[0, 9]", "Fr\xfchling", "CC0"])
        write_csv(place / f"clotho_metadata_{split}.csv", [header, *rows], ends, "latin-1")
        with py7zr.SevenZipFile(place / f"clotho_audio_{split}.7z", "w") as archive:
            for one in sounds:
                archive.writef(io.BytesIO(one.wav), f"{split}/{one.name}")


def audiocaps(folder: Path, splits: Splits) -> None:
    """AudioCaps: the csv files of version 1, and a zip of somebody's with the sounds. `splits` by train, val, test."""
    row_id = 0
    for split, sounds in splits.items():
        rows: list[list[object]] = []
        captions = 1 if split == "train" else 5
        for k in range(captions):  # the five of a clip are not adjacent
            for one in sounds:
                row_id += 1
                rows.append([row_id, one.name, 30, one.captions[k]])
        header = ["audiocap_id", "youtube_id", "start_time", "caption"]
        write_csv(folder / f"dataset/{split}.csv", [header, *rows])
    with zipfile.ZipFile(folder / OWN_SOUNDS, "w") as archive:
        for split, sounds in splits.items():
            for one in sounds:
                archive.writestr(f"audiocaps/{split}/Y{one.name}.wav", one.wav)


def queryd(folder: Path, splits: Splits) -> None:
    """QuerYD's paragraphs, version 1: lists, transcripts in tokens, and a zip with the sound of the videos."""
    transcripts: dict[str, list[list[str]]] = {}
    for split, sounds in splits.items():
        keys = [f"video-{one.name}" for one in sounds]
        path = folder / f"paragraphs/{split}_list.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}\n" for key in keys))
        transcripts.update({key: [text.split() for text in one.captions] for key, one in zip(keys, sounds)})
    write_pickle(folder / "raw_captions_combined_filtered-v1.pkl", transcripts)
    with zipfile.ZipFile(folder / OWN_SOUNDS, "w") as archive:
        for sounds in splits.values():
            for one in sounds:
                archive.writestr(f"videos/{one.name}.wav", one.wav)


def activitynet(folder: Path, names: Mapping[str, Sequence[str]], sentences: Sequence[str]) -> None:
    """ActivityNet Captions: lists and captions.zip, without any sound; `names` by train and val_1."""
    (folder / "lists").mkdir(parents=True)
    with zipfile.ZipFile(folder / "captions.zip", "w") as archive:
        for split, keys in names.items():
            (folder / f"lists/{split}_list.txt").write_text("".join(f"{key}\n" for key in keys))
            times = [[0.0, 5.0], [5.0, 10.0]]
            told = {key: {"duration": 10.0, "timestamps": times, "sentences": list(sentences)} for key in keys}
            archive.writestr(f"{split}.json", json.dumps(told))


def write_pickle(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=4))
