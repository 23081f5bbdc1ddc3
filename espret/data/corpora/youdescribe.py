"""The narrations of YouDescribe as QuerYD publishes them: what is said (transcripts) and when (answers of its API).

Which of them are in which split, and what they are called, is `queryd`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from espret.data.pickles.load import load_pickle
from espret.errors import EspretError
from espret.files import read_json


def read_captions(path: Path) -> dict[str, str]:
    """The transcripts in a pickle, key -> all narrations of the key joined by blanks; empty where all are.

    The pickle has a dict, key -> list of captions, each a list of words. Raises EspretError naming the key where it is
    anything else.
    """
    whole = load_pickle(path)
    if not isinstance(whole, dict):
        raise EspretError(f"{path}: found {_shown(whole)}; expected a dict, key -> list of captions")
    joined = {}
    for key, captions in whole.items():
        if not isinstance(key, str):
            raise EspretError(f"{path}: key {_shown(key)}; expected a string")
        joined[key] = " ".join(word for caption in _listed(path, key, captions) for word in _words(path, key, caption))
    return joined


def _listed(path: Path, key: str, value: object) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise EspretError(f"{path}: '{key}': found {_shown(value)}; expected a list of captions, each a list of words")
    return value


def _words(path: Path, key: str, caption: object) -> Iterator[str]:
    for word in _listed(path, key, caption):
        if not isinstance(word, str):
            raise EspretError(f"{path}: '{key}': found {_shown(word)} in a caption; expected words")
        yield from word.split()


class Stretch(NamedTuple):
    """When a narration begins and ends, in seconds of its video; `why` tells why that is not known, else is empty."""

    start: float
    end: float
    why: str = ""


class Times:
    """When narrations begin and end, from a folder that has YouDescribe's answer about each video, assets-<id>.json:
    result.audio_descriptions[].audio_clips[] with file_name, start_time and end_time."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.name: path for path in sorted(folder.rglob("assets-*.json"))}
        self._read: dict[str, dict[str, Stretch]] = {}

    def of(self, video: str, narration: str) -> Stretch:
        """The stretch of a video that the sound file called `narration` (without its suffix) tells about.

        Raises EspretError for an answer that is not JSON.
        """
        name = f"assets-{video}.json"
        if name not in self._files:
            return Stretch(0, 0, f"no {name} to tell its times")
        if video not in self._read:
            self._read[video] = dict(_stretches(read_json(self._files[name])))
        return self._read[video].get(narration) or Stretch(0, 0, f"no narration {narration} in {name}")


def _stretches(answer: object) -> Iterator[tuple[str, Stretch]]:
    """Each narration of an answer by its sound file's name; one without a file was never uploaded."""
    for description in _items(_field(_field(answer, "result"), "audio_descriptions")):
        for clip in _items(_field(description, "audio_clips")):
            name = _field(clip, "file_name")
            if isinstance(name, str) and name:
                yield PurePosixPath(name).stem, _stretch(_field(clip, "start_time"), _field(clip, "end_time"))


def _stretch(start: object, end: object) -> Stretch:
    first, last = _seconds(start), _seconds(end)
    if first is None or last is None:
        return Stretch(0, 0, f"its times are {_shown(start)} and {_shown(end)}; expected seconds")
    if last <= max(first, 0.0):
        return Stretch(0, 0, f"it is told of no stretch: start {first:g} s, end {last:g} s")
    return Stretch(max(first, 0.0), last)


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _shown(value: object) -> str:
    """A value for a message: what it is, and its beginning (never a whole array or archive)."""
    return f"{type(value).__name__} {value!r:.40}" if isinstance(value, (str, int, float)) else type(value).__name__
