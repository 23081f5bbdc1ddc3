"""A data directory in memory: wav.scp, segments, utt2dur, utt2sr, and captions (text, cap2utt, utt2cap).

utt2fname has the name that the corpus gives a clip, utt2origin where its sound comes from ("youtube:<id>", several
with blanks between): by these `espret leaks` and `espret import-features` know a clip again.

Only the standard library. Loading checks the form of each file (`tables`) and the type of its values; that the files
agree with each other is checked by `validate`. Captions are to utterances as in Kaldi utterances are to speakers:
`text` is keyed by caption id, cap2utt and utt2cap stand for utt2spk and spk2utt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from espret.data.split import shard
from espret.data.tables import collector_paused, list_sha256, read_table, write_table
from espret.errors import EspretError
from espret.files import read_json, write_json

V = TypeVar("V")


class Segment(NamedTuple):
    """A stretch of a recording, in seconds."""

    recording: str
    start: float
    end: float


class Source(NamedTuple):
    """Where an utterance's audio is: a file and, for a segment of it, start and end in seconds."""

    path: str
    start: float | None = None
    end: float | None = None


@dataclass
class DataDir:
    """One split of a corpus. All mappings are keyed by utterance id but wav_scp and reco2dur (by recording id where
    there are segments), text and cap2utt (by caption id)."""

    wav_scp: dict[str, str]
    segments: dict[str, Segment] = field(default_factory=dict)
    reco2dur: dict[str, float] = field(default_factory=dict)
    utt2dur: dict[str, float] = field(default_factory=dict)
    utt2sr: dict[str, int] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    cap2utt: dict[str, str] = field(default_factory=dict)
    utt2cap: dict[str, list[str]] = field(default_factory=dict)
    utt2fname: dict[str, str] = field(default_factory=dict)
    utt2origin: dict[str, list[str]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @collector_paused()
    def load(cls, path: str | os.PathLike[str]) -> DataDir:
        """Read a data directory; only wav.scp must exist, or utt2fname where the clips have no sound.

        Raises EspretError naming file and line.
        """
        root = Path(path)
        wav_scp = {} if without_sound(root) else read_table(root / "wav.scp")
        for number, (key, value) in enumerate(wav_scp.items(), 1):
            if value.endswith("|"):
                raise EspretError(f"{root / 'wav.scp'}:{number}: '{key}' is a pipe, '{value}'; expected a path")
        about = root / "about.json"
        return cls(
            wav_scp=wav_scp,
            segments=_read(root / "segments", parse_segment),
            reco2dur=_read(root / "reco2dur", float),
            utt2dur=_read(root / "utt2dur", float),
            utt2sr=_read(root / "utt2sr", int),
            text=_read(root / "text", str),
            cap2utt=_read(root / "cap2utt", str),
            utt2cap=_read(root / "utt2cap", str.split),
            utt2fname=_read(root / "utt2fname", unquote),
            utt2origin=_read(root / "utt2origin", str.split),
            about=read_json(about) if about.exists() else {},
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write all files, each sorted and atomically; one that would be empty is removed.

        wav.scp is kept, unless the clips have no sound and utt2fname lists them.
        """
        root = Path(path)
        root.mkdir(parents=True, exist_ok=True)
        for name, rows in self._tables().items():
            if rows or (name == "wav.scp" and not self.utt2fname):
                write_table(root / name, rows)
            else:
                (root / name).unlink(missing_ok=True)
        write_json(root / "about.json", self.about)

    def _tables(self) -> dict[str, Mapping[str, str]]:
        return {
            "wav.scp": self.wav_scp,
            "segments": {u: f"{s.recording} {s.start:.6f} {s.end:.6f}" for u, s in self.segments.items()},
            "reco2dur": {key: f"{seconds:.6f}" for key, seconds in self.reco2dur.items()},
            "utt2dur": {key: f"{seconds:.6f}" for key, seconds in self.utt2dur.items()},
            "utt2sr": {key: str(rate) for key, rate in self.utt2sr.items()},
            "text": self.text,
            "cap2utt": self.cap2utt,
            "utt2cap": {key: " ".join(captions) for key, captions in self.utt2cap.items()},
            "utt2fname": {key: quote_name(name) for key, name in self.utt2fname.items()},
            "utt2origin": {key: " ".join(origins) for key, origins in self.utt2origin.items()},
        }

    @property
    def utts(self) -> list[str]:
        """The utterance ids, sorted."""
        return sorted(self._listing())

    def _listing(self) -> Mapping[str, object]:
        """The table that says which utterances there are."""
        return self.segments or self.wav_scp or self.utt2fname

    def source(self, utt: str) -> Source:
        """The audio of an utterance. Raises EspretError for an id that is not in this directory."""
        try:
            if not self.segments:
                return Source(self.wav_scp[utt])
            recording, start, end = self.segments[utt]
            return Source(self.wav_scp[recording], start, end)
        except KeyError as error:
            raise EspretError(f"no audio for '{utt}': {error} is not in wav.scp or segments") from None

    def subset(self, utts: Iterable[str]) -> DataDir:
        """The part with these utterances, their recordings and captions; `about` is counted anew.

        Raises EspretError for an id that is not in this directory.
        """
        kept = set(utts)
        missing = sorted(kept.difference(self._listing()))
        if missing:
            raise EspretError(f"no utterance '{missing[0]}' in this data directory ({len(missing)} such ids)")
        segments = {u: s for u, s in self.segments.items() if u in kept}
        recordings = {s.recording for s in segments.values()} if self.segments else kept
        cap2utt = {c: u for c, u in self.cap2utt.items() if u in kept}
        part = DataDir(
            wav_scp=_only(self.wav_scp, recordings),
            segments=segments,
            reco2dur=_only(self.reco2dur, recordings),
            utt2dur=_only(self.utt2dur, kept),
            utt2sr=_only(self.utt2sr, kept),
            text=_only(self.text, cap2utt),
            cap2utt=cap2utt,
            utt2cap=_only(self.utt2cap, kept),
            utt2fname=_only(self.utt2fname, kept),
            utt2origin=_only(self.utt2origin, kept),
        )
        part.about = {**self.about, **part.counts()}
        return part

    def split(self, n: int) -> list[DataDir]:
        """`n` parts in order, of near-equal numbers of utterances; some are empty where there are fewer."""
        return [self.subset(shard(self.utts, f"{j}/{n}")) for j in range(1, n + 1)]

    def counts(self) -> dict[str, Any]:
        """The computed fields of about.json: clips, captions, and list_sha256, the hash of the utterance ids."""
        return {"clips": len(self.utts), "captions": len(self.text), "list_sha256": list_sha256(self.utts)}


def without_sound(path: str | os.PathLike[str]) -> bool:
    """Whether the clips of a data directory have no sound, only names: their features come from elsewhere."""
    sound = ("wav.scp", "utt2dur", "utt2sr", "segments")
    return Path(path, "utt2fname").exists() and not any(Path(path, name).exists() for name in sound)


def parse_segment(value: str) -> Segment:
    """`recording start end` as a Segment; ValueError otherwise."""
    recording, start, end = value.split()
    return Segment(recording, float(start), float(end))


def quote_name(name: str) -> str:
    """A file name as the value of a table's row: `%`, line ends, tabs and blanks at either end as %XX.

    urllib.parse.unquote takes it back.
    """
    inner = re.sub(r"[%\x00-\x1f]", lambda match: f"%{ord(match[0]):02X}", name)
    core = inner.strip(" ")
    lead = len(inner) - len(inner.lstrip(" "))
    return "%20" * lead + core + "%20" * (len(inner) - len(core) - lead if core else 0)


def _only(rows: dict[str, V], keys: Iterable[str]) -> dict[str, V]:
    kept = keys if isinstance(keys, (set, dict)) else set(keys)
    return {key: value for key, value in rows.items() if key in kept}


_EXPECTED = {float: "seconds", int: "a whole number of Hz", parse_segment: "'recording start end' in seconds"}


def _read(path: Path, parse: Callable[[str], V]) -> dict[str, V]:
    """A table with its values parsed; {} where there is no such file. Raises EspretError naming file and line."""
    if not path.exists():
        return {}
    rows: dict[str, V] = {}
    for number, (key, value) in enumerate(read_table(path).items(), 1):
        try:
            rows[key] = parse(value)
        except ValueError:
            expected = _EXPECTED[parse]
            raise EspretError(f"{path}:{number}: '{key}' has {value!r}; expected {expected}") from None
    return rows
