"""Many clips from YouTube: several at a time, what became of each written down, and when to stop.

One clip, and what yt-dlp's messages mean: `ytdlp`. The log and its states: `states`. yt-dlp and ffmpeg are the
user's own programs.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from espret.data.youtube.programs import Programs
from espret.data.youtube.states import Log, opened, states, stretch
from espret.data.youtube.ytdlp import (
    INSTALL_YT_DLP,
    LIMIT,
    Outcome,
    Tools,
    YouTubeClip,
    check_cookies,
    fetch_clip,
    find_tools,
)
from espret.errors import EspretError

__all__ = ["YouTubeClip", "fetch_clips", "states"]

NETWORK_ERRORS = 10  # in a row: the network is down
FAILURES = 20  # in a row, each of a clip that had not failed before: yt-dlp no longer works with YouTube
ID = re.compile(r"[A-Za-z0-9_-]{11}")
SIGN_IN = "sign in: --cookies FILE (a cookies.txt exported from a browser) or --cookies browser:firefox"


def _say(text: str) -> None:
    print(f"youtube: {text}", file=sys.stderr, flush=True)


def fetch_clips(
    wanted: Iterable[YouTubeClip],
    into: Path,
    jobs: int = 4,
    cookies: str = "",
    say: Callable[[str], None] = _say,
    limit: float = LIMIT,
) -> dict[str, str]:
    """Bring clips to `into`/Y<id>.flac, 32 kHz mono, `jobs` at a time; the state of each id.

    Those that are there, and those whose state lasts, are left alone. `cookies` is a file, or `browser:NAME`; `limit`
    is how many seconds each of yt-dlp and ffmpeg may take for one clip. Of several processes one fetches, the others
    wait for it. An interrupt leaves whole files and the log, and the next call goes on from there.

    Raises EspretError where going on makes no sense: a program is missing or useless, YouTube takes us for a robot,
    the network is down, the disk is full; and for clips that are not of a video or not the ones `into` has.
    """
    if jobs < 1:
        raise EspretError(f"{jobs} downloads at a time; expected 1 or more")
    check_cookies(cookies)
    clips = _checked(wanted)
    into.mkdir(parents=True, exist_ok=True)
    with opened(into, say) as log:
        todo = [clip for clip in clips.values() if not log.settled(clip, bool(cookies))]
        if todo:
            tools = find_tools()
            _sweep(into)
            with _ending_signals():
                _fetch_all(todo, len(clips), log, tools, jobs, cookies, limit)
        found = {key: log.state(key) for key in clips}
    if found:
        say(f"{len(found)} clips: {_counted(found.values())}")
    return found


def _counted(found: Iterable[str]) -> str:
    return ", ".join(f"{number} {state}" for state, number in Counter(found).most_common())


def _checked(wanted: Iterable[YouTubeClip]) -> dict[str, YouTubeClip]:
    clips: dict[str, YouTubeClip] = {}
    for clip in wanted:
        if not ID.fullmatch(clip.id):
            raise EspretError(f"'{clip.id}' is not the id of a YouTube video; expected 11 letters, digits, - or _")
        if clip.start < 0 or (clip.end is not None and clip.end <= clip.start):
            raise EspretError(f"YouTube video {clip.id}: from {clip.start} to {clip.end} s; expected 0 <= start < end")
        if clips.setdefault(clip.id, clip) != clip:
            both = f"{stretch(clips[clip.id])} and {stretch(clip)}"
            raise EspretError(f"YouTube video {clip.id}: two stretches, {both}; expected one")
    return clips


def _sweep(into: Path) -> None:
    """Remove what a killed run was gathering."""
    for folder in into.glob(".Y*.part"):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _ending_signals() -> Iterator[None]:
    """TERM and HUP end this process as an interrupt does: after it has ended what it started."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    mine = threading.current_thread() is threading.main_thread()
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if mine and signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _fetch_all(
    todo: list[YouTubeClip], total: int, log: Log, tools: Tools, jobs: int, cookies: str, limit: float
) -> None:
    """Fetch clips in threads and write down what became of each; whatever is raised ends them all first."""
    from tqdm import tqdm

    programs = Programs()
    patience = _Patience(log, tools)
    settled = total - len(todo)
    interval = 0.2 if sys.stderr.isatty() else 10.0
    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=total, initial=settled, desc="youtube", unit="clip", mininterval=interval, delay=1) as bar,
    ):
        try:
            running = {
                pool.submit(
                    fetch_clip, clip, log.into, tools, programs, cookies, limit, log.seconds_that_failed(clip)
                ): clip
                for clip in todo
            }
            for number, future in enumerate(as_completed(running), 1):
                patience.note(running[future], future.result())
                log.add(running[future], future.result(), bool(cookies))
                patience.check(len(todo) - number)
                bar.set_postfix(ok=patience.ok, failed=number - patience.ok, refresh=False)
                bar.update()
        except BaseException:
            programs.end()
            pool.shutdown(cancel_futures=True)
            raise


class _Patience:
    """Decides when trying further clips makes no sense."""

    def __init__(self, log: Log, tools: Tools) -> None:
        self._log = log
        self._tools = tools
        self.ok = 0
        self._network = 0  # errors in a row
        self._failures = 0  # since one came, of clips that had not failed before
        self._last = Outcome("")

    def note(self, clip: YouTubeClip, outcome: Outcome) -> None:
        """Count what became of a clip, before it is written down."""
        self._last = outcome
        self.ok += outcome.state == "ok"
        self._network = self._network + 1 if outcome.state == "network" else 0
        if outcome.state == "ok":
            self._failures = 0
        elif outcome.state == "failed" and not self._log.failed_before(clip):
            self._failures += 1

    def check(self, left: int) -> None:
        """Raises EspretError where it is time to stop."""
        why = self._last.why
        if self._last.state == "bot-check":
            self._stop(f"YouTube takes us for a robot ({why})", left + 1, f"let some hours pass, or {SIGN_IN}")
        if self._network >= NETWORK_ERRORS:
            mend = "see that www.youtube.com can be reached (HTTPS_PROXY names a proxy)"
            self._stop(f"the network is down: {self._network} clips in a row failed ({why})", left, mend)
        if self._failures >= FAILURES:
            what = f"yt-dlp {self._tools.version} no longer gets anything: {self._failures} clips failed ({why})"
            mend = f"{INSTALL_YT_DLP}, and install deno, the JavaScript runtime it needs for YouTube; or {SIGN_IN}"
            self._stop(what, left, mend)

    def _stop(self, what: str, left: int, mend: str) -> None:
        kept = f"{self.ok} clips came in this run and are kept, {left} are still to be tried, none counts as missing"
        raise EspretError(f"{what}; {kept}; mend: {mend}; the same command goes on from there")
