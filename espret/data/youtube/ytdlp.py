"""One stretch of a YouTube video as a sound file, through the user's own yt-dlp and ffmpeg.

The whole sound track is downloaded and then cut: where yt-dlp lets ffmpeg fetch only the stretch, YouTube refuses now
and then, and a copied stretch begins seconds early, at what the container lets it seek to. About 1 MB a minute of
video passes through the network. Many clips, their states, and when to give up: `fetch`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from espret.data.audio import AudioError, check_clip, probe
from espret.data.youtube.programs import Programs, Ran
from espret.errors import EspretError

RATE = 32000  # Hz
SHORTEST = 0.5  # seconds; a shorter clip is none
MISSING = 1.5  # seconds that may be missing at the end: YouTube gives durations in whole seconds
LIMIT = 1800.0  # seconds that each program may take for a clip
INSTALL_YT_DLP = 'pip install -U "yt-dlp[default]"'
INSTALL_FFMPEG = "conda install -c conda-forge ffmpeg (or your system's package ffmpeg)"

# What yt-dlp's error says, in lower case and with straight apostrophes; the first that matches tells the state.
STATES = (
    ("bot-check", r"not a bot|http error 429|too many requests|rate-limited|available, try again later|captcha"),
    ("private", r"private video|video is private|channel's members|members[- ]only|join this channel|requires payment"),
    ("private", r"premium member"),
    ("age", r"confirm your age|verify your age|age[- ]restricted|age[- ]verification|inappropriate for some users"),
    ("geo", r"in your country|in your region|from your location|geo[- ]?restrict"),
    # Said to this client, or for now, not of the video.
    ("failed", r"on this (app|device|website)|other websites|content isn't available"),
    ("removed", r"has been removed|been terminated|no longer available|closed their (youtube )?account|copyright"),
    ("removed", r"video (does not exist|has been deleted)|recording is not available|video is (un|not )available"),
    ("removed", r"(?m)video unavailable\W*$"),
    ("network", r"name or service not known|name resolution|failed to resolve|getaddrinfo|nodename nor servname"),
    ("network", r"connection (refused|reset|aborted|timed out|broken)|unreachable|no route to host|timed out|timeout"),
    ("network", r"remote end closed|incompleteread|more expected|unable to connect|proxy|certificate|\bssl\b|_ssl"),
    ("network", r"eof occurred|http error (408|5\d\d)|transporterror"),
)
FULL = r"no space left|quota exceeded|read-only file system|permission denied"
NO_COOKIES = r"cookies (database|file)|load cookies|for cookies"


class YouTubeClip(NamedTuple):
    """A stretch of a video, in seconds; `end` is None where it goes to the end."""

    id: str
    start: float
    end: float | None


class Outcome(NamedTuple):
    """What became of a clip: its state, why, and how many seconds of sound came."""

    state: str
    why: str = ""
    seconds: float | None = None


class Tools(NamedTuple):
    """The two programs' paths, and the version of yt-dlp."""

    yt_dlp: str
    ffmpeg: str
    version: str


def find_tools() -> Tools:
    """yt-dlp and ffmpeg, from PATH or beside this Python. Raises EspretError saying how to install what is missing."""
    yt_dlp, version = _program("yt-dlp", ["--ignore-config", "--version"], INSTALL_YT_DLP)
    ffmpeg, _ = _program("ffmpeg", ["-version"], INSTALL_FFMPEG)
    return Tools(yt_dlp, ffmpeg, version)


def find_program(name: str) -> str | None:
    """The absolute path of a program on PATH or beside this Python."""
    found = shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))
    return os.path.abspath(found) if found else None


def _program(name: str, ask: Sequence[str], mend: str) -> tuple[str, str]:
    """The absolute path of a program, and the first line of what it says when asked."""
    path = find_program(name)
    if path is None:
        raise EspretError(f"no program '{name}' on PATH, which sound from YouTube needs; mend: {mend}")
    try:
        said = subprocess.run([path, *ask], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said_instead = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()
        reason = said_instead.splitlines()[-1][:300] if said_instead else str(error)
        raise EspretError(f"{path} does not run: {reason}; mend: {mend}") from None
    return path, said.stdout.decode("utf-8", "replace").partition("\n")[0].strip()


def check_cookies(cookies: str) -> None:
    """Raises EspretError unless `cookies` is empty, `browser:NAME` or a file that can be read."""
    if cookies.startswith("browser:"):
        if not cookies.removeprefix("browser:"):
            raise EspretError("--cookies browser: names no browser; expected browser:firefox, browser:chrome, ...")
    elif cookies and not (os.path.isfile(cookies) and os.access(cookies, os.R_OK)):
        expected = "expected a cookies.txt exported from a browser, or browser:NAME such as browser:firefox"
        raise EspretError(f"--cookies {cookies}: no such file, or it cannot be read; {expected}")


def fetch_clip(
    clip: YouTubeClip,
    into: Path,
    tools: Tools,
    programs: Programs,
    cookies: str = "",
    limit: float = LIMIT,
    before: float | None = None,
) -> Outcome:
    """Bring a clip to `into`/Y<id>.flac, 32 kHz mono, whole or not at all.

    A clip that ends earlier than its video should, as a download that was cut off does, is "failed", unless it came
    with the same length `before`: then this is how YouTube has it.

    Raises EspretError for what would fail with every clip (no disk space, cookies that cannot be read, a yt-dlp that
    does not know its options), and Ended.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".Y{clip.id}.", suffix=".part", dir=into))
    except OSError as error:
        raise EspretError(f"{into}: cannot be written: {error.strerror}") from None
    try:
        words = [tools.yt_dlp, *_options(cookies, folder), "--", f"https://www.youtube.com/watch?v={clip.id}"]
        ran = programs.run(words, folder, limit)
        if ran.status != 0:
            return _not_downloaded(ran, clip, into, tools, limit)
        track = next((path for path in folder.glob("audio.*") if path.suffix not in (".part", ".ytdl")), None)
        if track is None:
            return Outcome("failed", f"yt-dlp brought no file: {_shown(ran.errors)}")
        cut = folder / "cut.flac"
        cutting = programs.run([tools.ffmpeg, *_cutting(clip, track, cut)], folder, limit)
        if cutting.status != 0:
            return _not_cut(cutting, into, limit)
        outcome = _judged(clip, cut, _duration(ran.output), before)
        if outcome.state == "ok":
            with open(cut, "rb") as stream:
                os.fsync(stream.fileno())
            os.replace(cut, into / f"Y{clip.id}.flac")
        return outcome
    except OSError as error:
        raise EspretError(f"{into}: {error}; what was fetched is kept, the same command goes on from here") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _options(cookies: str, folder: Path) -> list[str]:
    """For yt-dlp, which runs in `folder`: of paths on its command line it would expand `$` and `%`."""
    words = ["--ignore-config", "--quiet", "--no-playlist", "--format", "bestaudio/best", "--fixup", "never"]
    words += ["--abort-on-unavailable-fragments", "--socket-timeout", "30", "--sleep-requests", "1"]
    words += ["--retries", "5", "--fragment-retries", "5", "--extractor-retries", "3"]
    words += ["--print", "after_move:%(duration)s", "--output", "audio.%(ext)s"]
    if cookies.startswith("browser:"):
        words += ["--cookies-from-browser", cookies.removeprefix("browser:")]
    elif cookies:
        # yt-dlp writes the file anew when it ends: several would spoil each other's, and the user's.
        shutil.copyfile(cookies, folder / "cookies.txt")
        words += ["--cookies", "cookies.txt"]
    return words


def _cutting(clip: YouTubeClip, track: Path, cut: Path) -> list[str]:
    words = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-ss", f"{clip.start:.6f}", "-i", track.name]
    if clip.end is not None:
        words += ["-t", f"{clip.end - clip.start:.6f}"]  # of the input, before -i, it would be less
    words += ["-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-sample_fmt", "s16"]
    return [*words, "-c:a", "flac", "-f", "flac", cut.name]


def _duration(output: str) -> float | None:
    """The length of the video in seconds, where yt-dlp knows it ("NA" where not)."""
    try:
        return float(output.split()[-1])
    except (IndexError, ValueError):
        return None


def _judged(clip: YouTubeClip, cut: Path, duration: float | None, before: float | None) -> Outcome:
    """Whether what ffmpeg wrote is the clip."""
    seconds = clip_seconds(cut)
    if ends := [end for end in (clip.end, duration) if end is not None]:
        expected = min(ends) - clip.start
        again = before is not None and abs(before - seconds) < 0.1
        if seconds < expected - MISSING and not again:
            return Outcome("failed", f"only {seconds:.2f} s of {expected:.2f} s came", seconds)
    if seconds < SHORTEST:
        return Outcome("too-short", f"{seconds:.2f} s", seconds)
    return Outcome("ok", "", seconds)


def clip_seconds(path: Path) -> float:
    """The length of a sound file that decodes to its end; 0 for any other, such as one without a sample."""
    try:
        info = probe(path)
    except AudioError:
        return 0.0
    return info.frames / info.sample_rate if check_clip(path) is None else 0.0


def _not_downloaded(ran: Ran, clip: YouTubeClip, into: Path, tools: Tools, limit: float) -> Outcome:
    """What a yt-dlp that failed tells of the clip. Raises EspretError where it is none of the clip's."""
    if ran.status is None:
        return Outcome("network", f"not done after {limit:.0f} s")
    shown = _shown(ran.errors) or f"status {ran.status}"
    state = classify(ran.errors.replace(clip.id, ""))
    if state == "failed":
        _check_disk(shown, into)
        if re.search(NO_COOKIES, shown.lower()):
            mend = "a cookies.txt exported from a browser, or browser:NAME of one that is installed here"
            raise EspretError(f"--cookies: {shown}; expected {mend}")
        if ran.status == 2 and "error: no such option" in ran.errors:
            raise EspretError(f"{tools.yt_dlp} ({tools.version}) is too old: {shown}; mend: {INSTALL_YT_DLP}")
    return Outcome(state, shown)


def _not_cut(ran: Ran, into: Path, limit: float) -> Outcome:
    """What an ffmpeg that failed tells. Raises EspretError where nothing can be written."""
    if ran.status is None:
        return Outcome("failed", f"ffmpeg was not done after {limit:.0f} s")
    shown = _shown(ran.errors) or f"status {ran.status}"
    _check_disk(shown, into)
    return Outcome("failed", f"ffmpeg: {shown}")


def _check_disk(shown: str, into: Path) -> None:
    if re.search(FULL, shown.lower()):
        raise EspretError(f"{into}: cannot be written: {shown}; mend: make room; what was fetched is kept")


def classify(errors: str) -> str:
    """The state that yt-dlp's error output tells; "failed" where it tells nothing known."""
    text = _error(errors).replace("\u2019", "'").lower()
    return next((state for state, pattern in STATES if re.search(pattern, text)), "failed")


def _error(errors: str) -> str:
    """The output from the first error on; warnings before it tell of tries that may have been mended."""
    start = re.search(r"(?mi)^(\S+: )?error: ", errors)
    return errors[start.start() :].strip() if start else errors.strip()


def _shown(errors: str) -> str:
    return " ".join(_error(errors).split())[:300]
