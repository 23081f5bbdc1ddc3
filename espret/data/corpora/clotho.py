"""Clotho: sounds of 15-30 s from Freesound with five captions each (Drossos et al., ICASSP 2020), from Zenodo.

Version 1 has a development and an evaluation split; version 2 adds sounds to the first and a validation split; version
2.1 mends around 150 damaged sound files of version 2 and renames files with colons. The evaluation split is the same in
all three, and version 1's development rows are the first of version 2.1's, so that ids agree. espret calls the splits
train, valid and test.

Version 1 has no validation split. Its papers divide the development split at random into 2,314 and 579 clips, and have
not published the division: `valid` and `train` under v1 are espret's own, drawn by a hash of the file names.

File names are no ids: they have blanks at their ends, `&`, `;` and brackets, differ by case or a blank only, and four
occur in two splits. Ids are of split and row; names are kept as they are. Captions too: some have blanks around them,
some no final period. Finding the sounds by their names is `clotho_audio`'s; reading the further captions of the variant
`gpt` is `clotho_gpt`'s.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from espret.data.corpora.clotho_audio import FOLDERS, Sounds, split_folder
from espret.data.corpora.clotho_gpt import read_variations
from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.data.csv_file import Row, read_csv
from espret.data.sources.sources import Sources
from espret.errors import EspretError

CAPTIONS = tuple(f"caption_{k}" for k in range(1, 6))
OFFICIAL = {"train": "development", "valid": "validation", "test": "evaluation"}
IDS = {"development": "dev", "validation": "val", "evaluation": "eval"}
EXPECTED = {
    "v1": {"train": 2314, "valid": 579, "test": 1045},
    "v2": {"train": 3839, "valid": 1045, "test": 1045},
    "v2.1": {"train": 3839, "valid": 1045, "test": 1045},
}
V1_VALID = (579, 2893)  # the share of version 1's development split that is held out
NUMBER = re.compile("[0-9]+")
VARIATIONS = "gpt/variations.json"
DAMAGED = "around 150 sound files of Clotho v2 are damaged; v2.1 has them mended"


@dataclass(frozen=True)
class Part:
    """One split as it was asked for: `split` names the data directory, `base` is train, valid or test."""

    split: str
    base: str
    version: str
    gpt: bool

    @property
    def official(self) -> str:
        """The official split that its clips are of."""
        return OFFICIAL["train" if self.version == "v1" and self.base == "valid" else self.base]

    def file(self, kind: str) -> str:
        """The official file of this split, as the download table calls it: audio, captions or metadata."""
        return f"{self.version}/clotho_{kind}_{self.official}.{'7z' if kind == 'audio' else 'csv'}"


class Clotho(Corpus):
    """Clotho v2.1, v1 or v2. With `gpt` (train of v2.1 only) a clip's five captions are followed by variations."""

    name = "clotho"
    axes = (("v2.1", "v1", "v2"), ("plain", "gpt"))
    unsaid = frozenset({"plain"})
    seconds = (14.5, 30.5)

    def fetch(self, asked: Asked) -> None:
        parts = self._parts(asked)
        sources = Sources(self.name, asked)
        archives = [] if asked.audio_dir is not None else _names(parts, "audio")
        lists = _names(parts, "captions") + [VARIATIONS] * any(part.gpt for part in parts)
        if any(part.version == "v2" for part in parts):
            _say(f"warning: {DAMAGED}; use v2 only to repeat what was done with it")
        sources.announce([*lists, *_names(parts, "metadata"), *archives])
        for name in lists:
            sources.get(name)
        _fetch_metadata(sources, _names(parts, "metadata"), needed=asked.archives is None)
        for name in archives:
            sources.folder(name, _folder(name))

    def clips(self, asked: Asked) -> Iterator[Clip]:
        sources = Sources(self.name, asked)
        for part in self._parts(asked):
            yield from _clips(part, sources, asked)

    def expected(self, split: str, variant: Variant) -> int | None:
        return EXPECTED[variant[0]][split]

    def origins(self, asked: Asked) -> set[str]:
        """The Freesound ids of version 2.1, whose development split holds version 1's."""
        sources = Sources(self.name, asked)
        names = [Part(split, split, "v2.1", False).file("metadata") for split in self.splits]
        _fetch_metadata(sources, names, needed=asked.archives is None)
        there = [name for name in names if asked.archives is None or sources.has(name)]
        return {origin for name in there for origins in _freesound(sources.get(name)).values() for origin in origins}

    def own(self, asked: Asked) -> bool:
        return Sources(self.name, asked).own(_names(self._parts(asked), "captions"))

    def _parts(self, asked: Asked) -> list[Part]:
        """The splits asked for. Raises EspretError where `gpt` is asked of clips that have no variations."""
        parts = []
        for split in asked.splits:
            base, (version, captions) = self.parse(split, asked.variant)
            if captions == "gpt" and (base, version) != ("train", "v2.1"):
                raise EspretError(
                    f"clotho: '{split}' of {version} has no variant gpt: the variations are of v2.1's train only; "
                    "mend: say train_gpt for the training set, and v2.1 without gpt for --variant"
                )
            parts.append(Part(split, base, version, captions == "gpt"))
        return parts


def _names(parts: Iterable[Part], kind: str) -> list[str]:
    """The files of a kind that the parts need, each once."""
    return list(dict.fromkeys(part.file(kind) for part in parts))


def _folder(archive: str) -> str:
    """Where an audio archive is extracted to."""
    return archive.removesuffix(".7z")


def _fetch_metadata(sources: Sources, names: Iterable[str], needed: bool) -> None:
    """Bring the metadata; where it is not `needed`, go on without what is not there and cannot be downloaded."""
    for name in names:
        try:
            sources.get(name)
        except EspretError as error:
            if needed or sources.has(name):
                raise
            _say(f"warning: {error}")
            return  # of the others, `clips` tells which are missing


def _clips(part: Part, sources: Sources, asked: Asked) -> Iterator[Clip]:
    rows = list(read_csv(sources.get(part.file("captions")), ("file_name", *CAPTIONS), key="file_name"))
    sounds = _sounds(part, sources, asked, [row["file_name"] for row in rows])
    variations = _variations(sources, rows) if part.gpt else {}
    if part.version == "v1":
        rows = _division(rows, part.base)
    origins = _origins(part, sources, asked, rows)
    for row in rows:
        name = row["file_name"]
        path, why = sounds.find(name)
        yield Clip(
            split=part.split,
            id=f"clotho-{IDS[part.official]}-{row.number:05d}",
            path=path,
            captions=[*_captions(row, asked.bad_caption), *variations.get(name, ())],
            name=name,
            origins=origins.get(name, ()),
            why=f"{why}; {DAMAGED}" if why and part.version == "v2" else why,
        )


def _division(rows: Sequence[Row], base: str) -> list[Row]:
    """Version 1's rows of `base`, in order: those whose file name has the least hash are valid, the others train."""
    if base == "test":
        return list(rows)
    ranked = sorted(rows, key=lambda row: hashlib.sha256(f"clotho v1 valid {row['file_name']}".encode()).digest())
    held_out = {row.number for row in ranked[: len(rows) * V1_VALID[0] // V1_VALID[1]]}
    return [row for row in rows if (row.number in held_out) == (base == "valid")]


def _captions(row: Row, bad_caption: str) -> list[str]:
    """The captions as they are. An empty one is an error, left out, or kept, as was asked."""
    for column in CAPTIONS:
        if bad_caption == "error" and not row[column].strip():
            found = f"{row.where}: '{column}' of {row['file_name']!r} is empty"
            raise EspretError(f"{found}; expected a caption; mend: complete the file, or --bad-caption drop")
    return [row[column] for column in CAPTIONS if bad_caption == "keep" or row[column].strip()]


def _origins(part: Part, sources: Sources, asked: Asked, clips: Sequence[Row]) -> Mapping[str, tuple[str, ...]]:
    """File name -> the Freesound id of the recording that the clip was cut from, where the metadata knows it."""
    name = part.file("metadata")
    if asked.archives is not None and not sources.has(name):
        _say(f"warning: no {name}: no Freesound ids of '{part.split}', so that leaks cannot be found by them")
        return {}
    known = _freesound(sources.get(name))
    unknown = sum(clip["file_name"] not in known for clip in clips)
    if unknown:
        _say(f"{name}: no Freesound id of {unknown} of the {len(clips)} clips of '{part.split}'")
    return known


def _freesound(metadata: Path) -> dict[str, tuple[str, ...]]:
    """File name -> origin, of a metadata file."""
    # Latin-1, for names of authors and keywords are in several encodings; what is read of the file is ASCII.
    rows = read_csv(metadata, ("file_name", "sound_id"), encoding="latin-1", others=True, key="file_name")
    ids = {row["file_name"]: row["sound_id"].strip() for row in rows}  # "Not found" where the sound was taken away
    return {name: (f"freesound:{sound}",) for name, sound in ids.items() if NUMBER.fullmatch(sound)}


def _sounds(part: Part, sources: Sources, asked: Asked, names: Sequence[str]) -> Sounds:
    """Where the sounds of the clips called `names` are."""
    if asked.audio_dir is None:
        archive = part.file("audio")
        return Sounds(sources.folder(archive, _folder(archive)), names)
    folder = split_folder(asked.audio_dir, part.official)
    if folder is not None:
        return Sounds(folder, names)
    if any(split_folder(asked.audio_dir, split) not in (None, asked.audio_dir) for split in FOLDERS):
        raise EspretError(
            f"{asked.audio_dir}: no folder for the split '{part.official}', but for others; expected one called "
            f"{', '.join(FOLDERS[part.official])}, or the files of all splits in one folder (--audio-dir)"
        )
    return Sounds(asked.audio_dir, names, mixed=True)


def _variations(sources: Sources, rows: Sequence[Row]) -> dict[str, list[str]]:
    clips = {row["file_name"]: [row[column] for column in CAPTIONS] for row in rows}
    return read_variations(sources.get(VARIATIONS), clips, _say)


def _say(text: str) -> None:
    print(f"clotho: {text}", file=sys.stderr, flush=True)
