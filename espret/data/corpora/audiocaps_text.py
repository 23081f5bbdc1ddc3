"""The text files of AudioCaps: captions with their clips, and the lists that say which clips a split variant has."""

from __future__ import annotations

import re
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from espret.data.csv_file import Row, read_csv
from espret.errors import EspretError
from espret.files import atomic_write, read_json

FORMS = {  # column -> form of its values, in words
    "audiocap_id": (re.compile("[0-9]+"), "a number"),
    "youtube_id": (re.compile("[A-Za-z0-9_-]{11}"), "the 11 characters of a YouTube id"),
    "start_time": (re.compile("[0-9]{1,5}"), "whole seconds"),
}
NO_CAPTIONS = ("On|on", "The link is broken", "Video not available")  # in v1 train; nobody meant to describe a sound
LISTED = re.compile(r"Y?([A-Za-z0-9_-]{11})(?:_[0-9]+)?")
LARGEST = 10_000_000  # bytes of a list within an archive


@dataclass
class Captioned:
    """A clip and what is said of it: YouTube id, where in the video it starts (seconds), ids of its captions."""

    id: str
    start: int
    where: str
    audiocap_ids: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    dropped: str = ""  # the last caption that was left out


def read_captions(path: Path, bad_caption: str, per_clip: int | None, notes: Counter[str]) -> dict[str, Captioned]:
    """The clips of one of the caption files by their YouTube ids, in the order of the file.

    The rows of one clip need not follow each other. Captions that are known to be none are left out, unless
    `bad_caption` is "keep", and counted in `notes`. Raises EspretError naming file and line for a malformed row, two
    starts of one clip, and, where `bad_caption` is "error", for an empty caption and another number of captions than
    `per_clip` (None: any).
    """
    clips: dict[str, Captioned] = {}
    for row in read_csv(path, (*FORMS, "caption"), key="audiocap_id"):
        for column, (form, words) in FORMS.items():
            if not form.fullmatch(row[column]):
                raise EspretError(f"{row.where}: '{column}' is {row[column]!r:.80}; expected {words}")
        clip = clips.setdefault(row["youtube_id"], Captioned(row["youtube_id"], int(row["start_time"]), row.where))
        if clip.start != int(row["start_time"]):
            raise EspretError(
                f"{row.where}: '{clip.id}' starts at {row['start_time']} s; expected {clip.start} s as in {clip.where}"
            )
        clip.audiocap_ids.append(row["audiocap_id"])
        if _left_out(row, path.name, bad_caption, notes):
            clip.dropped = row["caption"]
        else:
            clip.captions.append(row["caption"])
    _check_numbers(clips, path, bad_caption, per_clip, notes)
    return clips


def _left_out(row: Row, file: str, bad_caption: str, notes: Counter[str]) -> bool:
    """Whether the caption of a row is left out. Raises EspretError for an empty one, unless it may be dropped."""
    caption = row["caption"]
    if not caption.strip():
        if bad_caption != "drop":
            mend = "mend: write one, or leave it out with --bad-caption drop"
            raise EspretError(f"{row.where}: the caption of '{row['youtube_id']}' is empty; expected words; {mend}")
        notes[f"{file}: empty captions are left out"] += 1
        return True
    if caption in NO_CAPTIONS and bad_caption != "keep":
        notes[f"{file}: {caption!r} is no caption and left out"] += 1
        return True
    return False


def _check_numbers(
    clips: dict[str, Captioned], path: Path, bad_caption: str, per_clip: int | None, notes: Counter[str]
) -> None:
    if per_clip is None:
        return
    for clip in clips.values():
        if (found := len(clip.audiocap_ids)) == per_clip:
            continue
        if bad_caption == "error":
            mend = "mend: complete the file, or take it as it is with --bad-caption keep"
            raise EspretError(f"{clip.where}: clip '{clip.id}' has {found} captions; expected {per_clip}; {mend}")
        notes[f"{path.name}: clips have another number of captions than {per_clip}"] += 1


def read_list(path: Path) -> dict[str, str]:
    """The YouTube ids of a list and where each stands, in the list's order.

    A list is JSON (class -> clips, a clip in one class or more), csv with a column file_name, or lines. A clip is
    called by its id, `Y<id>`, `<id>_<start>` or one of these with .wav. Raises EspretError naming file and line for
    anything else and for a clip that is there twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EspretError(f"{path}: {error}; expected a list of clips in UTF-8") from None
    if text.lstrip().startswith("{"):
        return _listed_by_class(path)
    if text.startswith("file_name"):
        names = [(row["file_name"], row.where) for row in read_csv(path, ["file_name"], others=True)]
    else:
        names = [(line, f"{path}:{number}") for number, line in enumerate(text.splitlines(), 1)]
    found: dict[str, str] = {}
    for name, where in names:
        clip = _listed(name, where)
        if clip in found:
            raise EspretError(f"{where}: clip '{clip}' again, first at {found[clip]}; expected each clip once")
        found[clip] = where
    if not found:
        raise EspretError(f"{path}: an empty list; expected a clip a line, such as Y<YouTube id>")
    return found


def _listed_by_class(path: Path) -> dict[str, str]:
    classes = read_json(path)
    for name, clips in classes.items():
        if not isinstance(clips, list) or not all(isinstance(clip, str) for clip in clips):
            raise EspretError(f"{path}: '{name}' has {clips!r:.80}; expected a list of clips")
    return {_listed(clip, str(path)): str(path) for clips in classes.values() for clip in clips}


def _listed(name: str, where: str) -> str:
    """The YouTube id within a clip's name, which itself may begin with Y and have _ in it."""
    match = LISTED.fullmatch(name.strip().removesuffix(".wav"))
    if match is None:
        raise EspretError(f"{where}: {name!r:.80}; expected a clip as <YouTube id>, Y<id> or <id>_<start>")
    return match[1]


def take_lists(archive: Path, names: Collection[str], into: Path) -> None:
    """Write the members called `names`, in whatever folder of the tar archive, to `into`; the rest is passed over.

    Raises EspretError for an archive that is damaged or has not all of them.
    """
    print(f"audiocaps: reading {archive} for {', '.join(names)}; this takes minutes", file=sys.stderr, flush=True)
    try:
        found = dict(_members(archive, names))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise EspretError(f"{archive}: not a whole tar archive: {error}; mend: fetch it again") from None
    if missing := sorted(set(names).difference(found)):
        raise EspretError(f"{archive}: has no {', '.join(missing)}; expected the archive of AudioCaps' experts")
    for name, data in found.items():
        with atomic_write(into / name, "wb") as stream:
            stream.write(data)


def _members(archive: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    left = set(names)
    with tarfile.open(archive, "r|*") as stream:  # as a stream: an index of it would cost a second reading
        for member in stream:
            name = PurePosixPath(member.name).name
            content = stream.extractfile(member) if name in left and member.size <= LARGEST else None
            if content is None:  # another member, or a folder
                continue
            yield name, content.read()
            left.discard(name)
            if not left:
                return
