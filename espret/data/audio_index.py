"""Finding sound files by name in a folder that somebody else has laid out."""

from __future__ import annotations

import os
from collections.abc import Iterable
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
        for folder, _, names in os.walk(self.root, followlinks=True):
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    self._files.setdefault(stem, []).append(Path(folder, name))
        for files in self._files.values():
            files.sort(key=lambda path: (SUFFIXES.index(path.suffix.lower()), os.fspath(path)))

    def __len__(self) -> int:
        return len(self._files)

    def files(self, stem: str) -> list[Path]:
        """Every file called so, in whatever format and sub-folder, the preferred format first."""
        return self._files.get(stem, [])

    def find(self, stems: Iterable[str]) -> Path | None:
        """The file of the first of `stems` that is there; None if none is."""
        for stem in stems:
            if found := self._files.get(stem):
                return found[0]
        return None
