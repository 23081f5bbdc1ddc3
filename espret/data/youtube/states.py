"""What became of the clips that were fetched from YouTube: a log in their folder that survives being killed.

States: ok; private, removed, geo, age, too-short, which last and are not asked for again; network, failed, bot-check,
which the next run tries anew. Fetching is `fetch`'s.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from espret.data.youtube.ytdlp import Outcome, YouTubeClip, clip_seconds
from espret.errors import EspretError

LOG = "states.jsonl"
LASTING = {"private", "removed", "geo", "age", "too-short"}
FOR_A_GUEST = {"private", "age"}  # may be another with cookies


def states(into: Path) -> dict[str, str]:
    """The state of every clip that `fetch_clips` has tried to bring to `into`, by id; none where it never did."""
    return {key: row["state"] for key, row in _rows(into / LOG).items()}


def stretch(clip: YouTubeClip) -> str:
    """For a message: "30-40 s", "0-end s"."""
    return f"{clip.start:g}-{'end' if clip.end is None else format(clip.end, 'g')} s"


class Log:
    """What became of the clips in a folder: a file to which lines are appended, of which the last of an id holds."""

    def __init__(self, into: Path, stream: IO[bytes]) -> None:
        self.into = into
        self._stream = stream
        self._rows = _rows(into / LOG)

    def state(self, key: str) -> str:
        """The state of a clip that was settled or added."""
        return str(self._rows[key]["state"])

    def seconds_that_failed(self, clip: YouTubeClip) -> float | None:
        """How many seconds came when the clip came too short the last time."""
        row = self._rows.get(clip.id, {})
        return row.get("seconds") if row.get("state") == "failed" and self._same(clip) else None

    def failed_before(self, clip: YouTubeClip) -> bool:
        """Whether the last try failed."""
        return self._rows.get(clip.id, {}).get("state") == "failed"

    def settled(self, clip: YouTubeClip, cookies: bool) -> bool:
        """Whether nothing is to be done for a clip. Raises EspretError where its file holds another stretch."""
        row = self._rows.get(clip.id, {})
        path = self.into / f"Y{clip.id}.flac"
        state = row.get("state")
        if path.is_file() and (state == "ok" or self._adopt(clip, path)):
            if not self._same(clip):
                held = stretch(YouTubeClip(clip.id, row["start"], row["end"]))
                mend = "remove it, or fetch to another folder"
                raise EspretError(f"{path}: holds {held} of the video; expected {stretch(clip)}; mend: {mend}")
            return True
        if state == "too-short":
            return self._same(clip)
        return state in LASTING and not (state in FOR_A_GUEST and cookies and not row.get("cookies"))

    def _same(self, clip: YouTubeClip) -> bool:
        row = self._rows[clip.id]
        return (row.get("start"), row.get("end")) == (clip.start, clip.end)

    def _adopt(self, clip: YouTubeClip, path: Path) -> bool:
        """Take a whole file that a killed run had no time to write down, or whose log is lost."""
        seconds = clip_seconds(path)
        if seconds == 0.0 or (clip.end is not None and seconds > clip.end - clip.start + 0.1):
            return False
        self.add(clip, Outcome("ok", "", seconds), False)
        return True

    def add(self, clip: YouTubeClip, outcome: Outcome, cookies: bool) -> None:
        """Write down what became of a clip."""
        row = {**clip._asdict(), **outcome._asdict(), "cookies": cookies, "time": round(time.time())}
        self._rows[clip.id] = row
        line = json.dumps(row).encode() + b"\n"
        try:
            written = self._stream.write(line)
        except OSError as error:
            raise EspretError(f"{self.into / LOG}: cannot be written: {error.strerror}") from None
        if written != len(line):
            raise EspretError(f"{self.into / LOG}: cannot be written: the disk is full")


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each id; a last line that a killed run left half is none."""
    rows: dict[str, dict[str, Any]] = {}
    data = path.read_bytes() if path.is_file() else b""
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            row = json.loads(line)
            rows[str(row["id"])] = {**row, "state": str(row["state"])}
        except (ValueError, KeyError, TypeError):
            found = line[:80].decode("utf-8", "replace")
            raise EspretError(f"{path}:{number}: {found!r}; expected a clip's state; mend: remove the line") from None
    return rows


@contextlib.contextmanager
def opened(into: Path, say: Callable[[str], None]) -> Iterator[Log]:
    """The log, locked against other processes, and without the half line that a killed one left."""
    with open(into / LOG, "ab+", buffering=0) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process fetches to {into}; waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        yield Log(into, stream)
