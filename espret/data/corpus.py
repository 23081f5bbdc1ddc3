"""What a corpus is to stage 0: its splits and variants, how its files are brought, and its clips.

A recipe's local/data.py lists the corpora that it prepares (`CORPORA`); each is a module of espret.data.corpora that
tells the corpus' story: where its files come from, their formats and defects, who is in which split. Data directories
are made of the clips by `prepare`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from espret.errors import EspretError, nearest

Axes = tuple[tuple[str, ...], ...]
Variant = tuple[str, ...]  # one word of each axis
BAD_CAPTION = ("error", "drop", "keep")  # what to do with a caption that is not one


@dataclass(frozen=True)
class Clip:
    """One clip of a split: its id, where its sound is, what is said of it.

    `path` is None where there is no sound; `why` then says what is missing, and is empty where the corpus has no sound
    to give (features only). A clip that is a stretch of a longer recording has `recording`, the id of that, and `start`
    and `end` in seconds. `name` is what the corpus calls the clip (a file name, a key). `origins` tell where the sound
    comes from, "youtube:<id>" or "freesound:<id>": two clips with one origin share sound.
    """

    split: str
    id: str
    path: str | os.PathLike[str] | None
    captions: Sequence[str]
    recording: str = ""
    start: float | None = None
    end: float | None = None
    name: str = ""
    origins: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Asked:
    """What a user asked of a corpus.

    `splits` are names of data directories, such as `test` or `test_ac957` (`Corpus.parse` takes them apart); `variant`
    holds for those whose name says nothing else. What is downloaded, and what is extracted of archives, lies in
    `downloads`. `archives` is a folder with the official files, used instead of downloading them; `audio_dir` one with
    the sound files, used instead of the archives that hold them; `sources` a download table whose rows replace the
    corpus' own.
    """

    splits: tuple[str, ...]
    variant: str = ""
    downloads: Path = Path("downloads")
    archives: Path | None = None
    audio_dir: Path | None = None
    sources: Path | None = None
    bad_caption: str = "error"
    youtube: bool = False  # fetch missing sound from YouTube, where the corpus lies there
    youtube_jobs: int = 4
    cookies: str = ""  # for yt-dlp: a file, or browser:NAME

    def of(self, corpus: Corpus, main: bool = True) -> Asked:
        """What of this concerns `corpus`: its splits, and the part of the sound files' folder that is called after it.

        Without such a part the `main` corpus of a recipe has the whole folder. The variant is that of the main one.
        """
        return dataclasses.replace(
            self,
            splits=tuple(split for split in self.splits if corpus.provides(split)),
            variant=self.variant if main else "",
            audio_dir=_part(self.audio_dir, corpus.name) or (self.audio_dir if main else None),
        )

    def archive_folders(self, corpus: str) -> list[Path]:
        """Where the archives of a corpus may lie: a part of the folder that is called after it, and the whole."""
        if self.archives is None:
            return []
        part = _part(self.archives, corpus)
        return [self.archives] if part is None else [part, self.archives]


def _part(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None and (folder / name).is_dir() else None


class Corpus(ABC):
    """A corpus. `splits` are the base names of its splits; `axes` its variants, a choice of words each, the default
    first, of which `unsaid` go without saying; `without_captions` the splits that have none; `seconds` how long clips
    are, for warnings; `on_youtube` is True where `Asked.youtube` brings sound."""

    name: str
    splits: tuple[str, ...] = ("train", "valid", "test")
    axes: Axes = ()
    unsaid: frozenset[str] = frozenset()
    without_captions: frozenset[str] = frozenset()
    seconds: tuple[float, float] | None = None
    on_youtube: bool = False

    @property
    def where(self) -> str:
        """How messages call the source of the clips."""
        return self.name

    @abstractmethod
    def fetch(self, asked: Asked) -> None:
        """Bring all files that `clips` reads: downloaded or found, verified, extracted. What is there is left alone.

        Raises EspretError naming what is missing and the command or the place that mends it.
        """

    @abstractmethod
    def clips(self, asked: Asked) -> Iterator[Clip]:
        """Every clip of the splits asked for, also those without sound. Reads what `fetch` brought."""

    @abstractmethod
    def expected(self, split: str, variant: Variant) -> int | None:
        """How many clips the base split `split` has when it is complete; None where nobody has said."""

    def origins(self, asked: Asked) -> set[str]:
        """Where the sound of its clips, of any split, comes from (`Clip.origins`), as far as its lists tell: what
        other corpora must leave out. Brings these lists as `fetch` does."""
        return set()

    def own(self, asked: Asked) -> bool:
        """Whether the lists of clips are the user's own (`Asked.sources`): `expected` then says nothing of them."""
        return False

    def provides(self, split: str) -> bool:
        """Whether the name of a data directory is one of this corpus' splits, with or without a variant."""
        try:
            self.parse(split, "")
        except EspretError:
            return False
        return True

    def parse(self, split: str, variant: str) -> tuple[str, Variant]:
        """`test_ac957` as the base split and its variant, ("test", ("v1", "ac957")); `variant` gives other words.

        Raises EspretError for an unknown split or word.
        """
        for base in sorted(self.splits, key=len, reverse=True):
            if split == base or split.startswith(f"{base}_"):
                words = [*self.words(variant), *self.words(split[len(base) + 1 :])]
                return base, self.choose(words)
        raise EspretError(f"{self.name} has no split '{split}'{nearest(split, self.splits)}")

    def words(self, text: str) -> list[str]:
        """The words of a variant, "v1.ac957", "v1 ac957" or "v1,ac957". Raises EspretError for an unknown one."""
        known = sorted((word for axis in self.axes for word in axis), key=len, reverse=True)
        found, rest = [], text.strip()
        while rest:
            word = next((word for word in known if re.match(rf"{re.escape(word)}([\s,+.]|$)", rest)), None)
            if word is None:
                raise EspretError(f"{self.name} has no variant '{rest}'{nearest(rest, known)}; {self.choices()}")
            found.append(word)
            rest = rest[len(word) :].lstrip(" ,+.")
        return found

    def choose(self, words: Iterable[str]) -> Variant:
        """One word of each axis: the last one said, else the first of the axis."""
        said = list(words)
        return tuple(next((word for word in reversed(said) if word in axis), axis[0]) for axis in self.axes)

    def called(self, variant: Variant) -> str:
        """How results call a variant: "v1.ac957"."""
        return ".".join(word for word in variant if word not in self.unsaid)

    def choices(self) -> str:
        """The variants for a message: "one of v1, v1-fixed, v2, and one of ac975, ac957"."""
        return ", and ".join(f"one of {', '.join(axis)}" for axis in self.axes) or "there are no variants"
