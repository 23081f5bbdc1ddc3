"""WavCaps' lists: the JSON file of each of its four sources, and the blacklists.

What is left out and where sounds are is `espret.data.corpora.wavcaps`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from espret.errors import EspretError
from espret.files import read_json

YOUTUBE = re.compile(r"Y([\w-]{11})\.wav", re.ASCII)  # how the lists name a clip of AudioSet


@dataclass(frozen=True)
class Source:
    """One of the four: what the hub calls it, the beginning of its clips' ids, its list and how many clips that has;
    `origin` is the kind of its ids, and `blacklist` the part of the blacklists that has them, where there is one."""

    name: str
    short: str
    file: str
    clips: int
    origin: str = ""
    blacklist: str = ""

    @property
    def list(self) -> str:
        """The list's name in the download table."""
        return f"json_files/{self.name}/{self.file}"


SOURCES = {
    "audioset": Source("AudioSet_SL", "as", "as_final.json", 108_317, "youtube", "AudioSet"),
    "bbc": Source("BBC_Sound_Effects", "bbc", "bbc_final.json", 31_201),
    "freesound": Source("FreeSound", "fs", "fsd_final.json", 262_300, "freesound", "FreeSound"),
    "soundbible": Source("SoundBible", "sb", "sb_final.json", 1_232),
}


class Entry(NamedTuple):
    """One row of a list: the id, the caption and the names that its file may have, without suffix."""

    where: str
    id: str
    caption: str
    stems: tuple[str, ...]


def read_list(path: Path, source: Source) -> Iterator[Entry]:
    """The rows of a list. Raises EspretError naming the row that is malformed or repeats an id."""
    found = read_json(path)
    rows = found.pop("data", None) if isinstance(found, dict) else None
    if not isinstance(rows, list):
        raise EspretError(f"{path}: expected an object with a list 'data', as WavCaps has it")
    seen: set[str] = set()
    for number, row in enumerate(rows):
        where = f"{path}: data[{number}]"
        rows[number] = None  # FreeSound's rows, with descriptions and tags, are most of a gigabyte
        for key in ("id", "caption"):
            if not isinstance(row, dict) or not isinstance(row.get(key), str):
                raise EspretError(f"{where}: {row!r:.80}; expected an object with '{key}', a text")
        name = _plain(row["id"], source, where)
        if not name or name in seen:
            raise EspretError(f"{where}: id {row['id']!r} is {'there twice' if name else 'empty'}; expected one a clip")
        seen.add(name)
        yield Entry(where, name, row["caption"], _stems(name, source, row))


def _plain(listed: str, source: Source, where: str) -> str:
    """An id without what the lists add to it: `Y<YouTube id>.wav` in AudioSet's."""
    if source.origin != "youtube":
        return listed
    match = YOUTUBE.fullmatch(listed)
    if not match:
        raise EspretError(f"{where}: id {listed!r:.80}; expected Y<YouTube id>.wav")
    return match[1]


def _stems(name: str, source: Source, row: dict[str, object]) -> tuple[str, ...]:
    if source.origin == "youtube":
        return f"Y{name}", name
    href = row.get("href") if source.short == "sb" else None  # some name SoundBible's files by their page
    return (name, PurePosixPath(href).stem) if isinstance(href, str) and href else (name,)


def read_blacklist(path: Path, source: Source) -> set[str]:
    """The ids of a source that are in a blacklist."""
    found = read_json(path)
    listed = found.get(source.blacklist) if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise EspretError(f"{path}: no list of texts '{source.blacklist}'; expected a blacklist of WavCaps")
    return {_plain(name, source, f"{path}: {source.blacklist}") for name in listed}
