"""Other people's programs, run from several threads, that can all be ended at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Ran(NamedTuple):
    """What a program that ran left: its exit status and what it said."""

    status: int | None  # None: it took too long
    output: str
    errors: str


class Ended(Exception):
    """Nothing more is to be run."""


class Programs:
    """The programs that run, in several threads. `end` kills them, each with what it started, and lets none begin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def run(self, words: Sequence[str], folder: Path, limit: float) -> Ran:
        """Run a program in `folder`, for `limit` seconds at most. Raises Ended."""
        with self._lock:
            if self._ended:
                raise Ended
            child = subprocess.Popen(
                words,
                cwd=folder,
                env=dict(os.environ, TMPDIR=os.path.abspath(folder)),  # what it leaves there goes with the folder
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._running.add(child)
        status = None
        try:
            output, errors = child.communicate(timeout=limit)
            status = child.returncode
        except subprocess.TimeoutExpired:
            _kill(child)
            output, errors = child.communicate()
        finally:
            with self._lock:
                self._running.discard(child)
        if self._ended:
            raise Ended
        return Ran(status, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))

    def end(self) -> None:
        """Kill what runs."""
        with self._lock:
            self._ended = True
            for child in self._running:
                _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:  # else the number may be another's by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
