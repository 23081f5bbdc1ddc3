"""What the corpora of YouTube videos share: the lists of their splits, and where the sound of a video is.

Their captions and who is in which split are their own (queryd, activitynet).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from espret.data.archives.extract import is_archive
from espret.data.audio_index import AudioIndex
from espret.data.corpus import Asked
from espret.data.sources.extracted import Extracted
from espret.data.sources.sources import TABLES
from espret.data.sources.table import read_download_table
from espret.data.youtube.fetch import YouTubeClip, fetch_clips, states
from espret.errors import EspretError

ID = r"[\w-]{11}"  # of a YouTube video; may begin with -, and have - and _ in it
PART = re.compile(r"\.z\d+", re.IGNORECASE)  # suffix of a part of a split zip, beside .zip


def read_keys(path: Path, pattern: re.Pattern[str], example: str) -> list[str]:
    """The keys of a list, one a line, in its order.

    Raises EspretError naming file and line for a key that does not match `pattern`, or one that is there twice.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        key = line.decode("ascii", "backslashreplace")
        if not pattern.fullmatch(key):
            raise EspretError(f"{path}:{number}: found {key[:80]!r}; expected a key such as {example}")
        if key in seen:
            raise EspretError(f"{path}:{number}: '{key}' again, first in line {seen[key]}; expected each key once")
        seen[key] = number
    if not seen:
        raise EspretError(f"{path}: an empty file; expected keys such as {example}, one a line")
    return list(seen)


def file_within(folder: Path, name: str) -> Path:
    """The file called so, wherever it lies in an extracted archive. Raises EspretError when it is not there."""
    found = sorted(folder.rglob(name))
    if not found:
        raise EspretError(f"{folder}: no file {name} in it; expected one, extracted of the corpus' archive")
    return found[0]


class VideoSound:
    """Finds the sound of videos: in the folder of --audio-dir; without one in the archives of the user's archives
    folder that are not official files of this or another corpus, which are extracted below the downloads. What is in
    neither may have been fetched from YouTube. A file is called as one of `names(video id)`, in any format."""

    def __init__(self, corpus: str, asked: Asked, names: Callable[[str], tuple[str, ...]]) -> None:
        self.corpus, self.asked, self.names = corpus, asked, names
        tables = [read_download_table(table) for table in TABLES.glob("*.tsv")]
        self.official = {Path(name).name for table in tables for name in table}
        self.youtube = asked.downloads / corpus / "youtube"
        self._extracted = Extracted(asked.downloads / corpus)
        self._indices: list[AudioIndex] | None = None
        self._states: dict[str, str] | None = None

    def fetch(self, ids: Iterable[str]) -> None:
        """Extract the archives and, where the user asked for that, fetch what is missing from YouTube."""
        for name, parts in self._archives().items():
            self._extracted.once(f"audio/{name}", {part.name: f"bytes:{part.stat().st_size}" for part in parts}, parts)
        if self.asked.youtube:
            missing = [YouTubeClip(video, 0.0, None) for video in dict.fromkeys(ids) if self.find(video) is None]
            fetch_clips(missing, self.youtube, jobs=self.asked.youtube_jobs, cookies=self.asked.cookies)
        self._indices = self._states = None

    def folders(self) -> list[Path]:
        """The folders with sound, the user's own first; empty when there is no place where any could be."""
        if self.asked.audio_dir is not None:
            own = [self.asked.audio_dir]
        else:
            own = [self._extracted.folder(f"audio/{name}") for name in self._archives()]
        return own + ([self.youtube] if self.youtube.is_dir() else [])

    def find(self, video: str) -> Path | None:
        """The sound file of a video, None where there is none."""
        if self._indices is None:
            self._indices = [AudioIndex(folder) for folder in self.folders()]
        found = (index.find(self.names(video)) for index in self._indices)
        return next((path for path in found if path is not None), None)

    def why(self, video: str) -> str:
        """Where the sound of a video was looked for, and what YouTube said, for the report of what is missing."""
        if self._states is None:
            self._states = states(self.youtube)
        said = f"; YouTube: {self._states[video]}" if video in self._states else ""
        return f"no file named {' or '.join(self.names(video))} in {', '.join(map(str, self.folders()))}{said}"

    def nowhere(self, names: str, more: str = "") -> EspretError:
        """The error that there is no sound at all: how it can be had. `names` are those of the files; `more` is one
        more way, or a remark, of lines."""
        asked = self.asked.archives
        where = "" if asked is None else f" (in {asked} there is no archive of sound)"
        return EspretError(
            f"{self.corpus}: no place for the sound{where}, of which no archive is public; mend: one of\n"
            f"  --audio-dir DIR      a folder with files named {names}, in any format and any sub-folder\n"
            "  --archives DIR       a folder with archives (zip, 7z, tar) of such files\n"
            f"  --youtube true       fetch what is still on YouTube, with yt-dlp and ffmpeg{more}"
        )

    def _archives(self) -> dict[str, list[Path]]:
        """The user's archives of sound: name -> the file, or the files of a split zip."""
        folders = self.asked.archive_folders(self.corpus)
        if self.asked.audio_dir is not None or not folders:
            return {}
        archives: dict[str, list[Path]] = {}
        for path in sorted(folders[0].iterdir()):
            if path.is_file() and is_archive(path) and path.name not in self.official:
                name = path.with_suffix(".zip").name if PART.fullmatch(path.suffix) else path.name
                archives.setdefault(name, []).append(path)
        return archives
