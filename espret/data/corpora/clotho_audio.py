"""Clotho's sound files in a folder that somebody has laid out: one folder a split, or one for all.

The names of the files are as tools left them. Which clips there are is `espret.data.corpora.clotho`'s.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from espret.data.audio_index import AudioIndex, walk
from espret.errors import EspretError

FOLDERS = {  # how a split's folder is called, in any case, the best name first
    "development": ("development", "clotho_audio_development", "development-training", "dev", "train", "training"),
    "validation": ("validation", "clotho_audio_validation", "development-validation", "val", "valid"),
    "evaluation": ("evaluation", "clotho_audio_evaluation", "development-testing", "eval", "test", "testing"),
}
TWICE = {  # stems that two splits have, for different sounds or captions
    "01 A pug struggles to breathe 1_14_2008",
    "Bus(Drive_Reverse)_1-2",
    "City Ambience w_ Car Passing_1-2",
    "FREEZER_DOOR_OPEN_CLOSE",
}
ALMOST_TWICE = ("Knocking", "Knocking ")  # stems of two splits that become one where blanks are stripped


class Sounds:
    """Where the sounds of one split lie below `root`; `names` are the file names of its clips.

    With `mixed`, the folder may have the files of other splits too.
    """

    def __init__(self, root: Path, names: Iterable[str], mixed: bool = False) -> None:
        self.index = AudioIndex(root)
        self.mixed = mixed
        self._claims = Counter(spelling for name in names for spelling in spellings(_stem(name)))

    def find(self, name: str) -> tuple[Path | None, str]:
        """The file of the clip called `name`, and, where there is none, why."""
        stem = _stem(name)
        if self.mixed and self._unclear(stem):
            why = (
                f"two splits have a file named {name!r}, and {self.index.root} has the files of all in one folder; "
                f"expected folders {', '.join(FOLDERS)} there"
            )
            return None, why
        # A spelling that two clips share tells nothing.
        usual = [spelling for spelling in spellings(stem) if spelling == stem or self._claims[spelling] == 1]
        if path := self.index.find(usual):
            return path, ""
        names = " or ".join(map(repr, usual))
        return None, f"no file named {names} (.wav, .flac or the like) in {self.index.root}"

    def _unclear(self, stem: str) -> bool:
        if stem in ALMOST_TWICE:
            return not all(self.index.files(other) for other in ALMOST_TWICE)
        return stem in TWICE


def spellings(stem: str) -> list[str]:
    """A file's name without suffix, and what tools make of it: no blanks at its ends, another character for a colon."""
    patched = [stem, *(re.sub(colon, by, stem) for colon in (":", r"\s*:\s*") for by in ("_", "-", " ", ""))]
    return list(dict.fromkeys([*patched, *(spelling.strip() for spelling in patched)]))


def split_folder(root: Path, split: str) -> Path | None:
    """The folder, `root` or one below it, that is called after the official split; None if there is none.

    Raises EspretError where there are several, and nothing tells which is meant.
    """
    names = FOLDERS[split]
    found: list[tuple[int, str]] = []
    for folder, inner, _ in walk(root):
        for name in [name for name in inner if name.lower() in names]:
            inner.remove(name)  # what lies in it belongs to it
            found.append((names.index(name.lower()), os.path.join(folder, name)))
    best = sorted(path for rank, path in found if rank == min(found)[0])
    if len(best) > 1:
        raise EspretError(
            f"{root}: several folders for the split '{split}': {', '.join(best)}; expected one; "
            "mend: give as --audio-dir the folder that has the right one"
        )
    if best:
        return Path(best[0])
    return root if root.resolve().name.lower() in names else None


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
