"""Finding sound files by name in a folder that somebody else has laid out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from espret.errors import EspretError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm")  # where a stem has several: the first of these


class AudioIndex:
    """The sound files below a folder, by stem (the name without its suffix). Links are followed; nothing is opened."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise EspretError(f"{self.root}: no such folder; expected one with sound files (--audio-dir)")
        self._files: dict[str, list[Path]] = {}
        for folder, _, names in walk(self.root):
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    self._files.setdefault(stem, []).append(Path(folder, name))
        for files in self._files.values():
            files.sort(key=lambda path: (SUFFIXES.index(path.suffix.lower()), os.fspath(path)))

    def files(self, stem: str) -> list[Path]:
        """Every file called so, in whatever format and sub-folder, the preferred format first."""
        return self._files.get(stem, [])

    def find(self, stems: Iterable[str]) -> Path | None:
        """The file of the first of `stems` that is there; None if none is."""
        for stem in stems:
            if found := self._files.get(stem):
                return found[0]
        return None


def walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` through links too, into each folder once, so that a link to a folder above it does no harm."""
    seen = {_identity(root)}
    for folder, inner, names in os.walk(root, followlinks=True):
        fresh = []
        for name in sorted(inner):
            with suppress(OSError):  # it cannot be entered either
                identity = _identity(Path(folder, name))
                if identity not in seen:
                    seen.add(identity)
                    fresh.append(name)
        inner[:] = fresh
        yield folder, inner, names


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
