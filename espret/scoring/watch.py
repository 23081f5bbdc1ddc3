"""Java work in threads that are watched: a caption that takes too long ends in an error that names it.

A call into Java cannot be broken off from outside, so such a thread is asked to stop and left behind; it does not keep
the process from ending.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from espret.errors import EspretError
from espret.scoring.java import start

LIMIT = 300.0  # seconds for one caption; the slowest that is parsed at all takes about one minute
POLL = 0.2


class Watch(Protocol):
    """What a worker is given: it says before each caption what it does next, and hands over results."""

    def begin(self, doing: str) -> None:
        """The clock starts anew for `doing`, which the error would name ("parsing 'a dog barks'"). Ends the thread when
        nobody waits for its results any more."""

    def put(self, result: Any) -> None:
        """Hand a result to the caller of `watched`."""


def watched(tool: str, workers: Sequence[Callable[[Watch], None]], limit: float | None = None) -> Iterator[Any]:
    """Run each worker in a thread of its own and yield what they put, as it comes.

    What a worker raises is raised here. Raises EspretError that names tool and caption when none of its `begin` comes
    for `limit` (LIMIT) seconds.
    """
    results: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    threads = [_Thread(worker, results) for worker in workers]
    for thread in threads:
        thread.start()
    running = len(threads)
    try:
        while running:
            _check(tool, threads, LIMIT if limit is None else limit)
            try:
                kind, value = results.get(timeout=POLL)
            except queue.Empty:
                continue
            if kind == "result":
                yield value
            elif kind == "error":
                raise value
            else:
                running -= 1
    finally:
        for thread in threads:
            thread.stopped = True


def _check(tool: str, threads: list[_Thread], limit: float) -> None:
    for thread in threads:
        if thread.is_alive() and time.monotonic() - thread.since > limit:
            if thread.java is not None:
                thread.java.interrupt()
            raise EspretError(f"{tool}: no answer within {limit:g} s, {thread.doing}; shorten or remove that caption")


class _Stopped(BaseException):
    """Nobody waits for this thread's results."""


class _Thread(threading.Thread):
    def __init__(self, worker: Callable[[Watch], None], results: queue.SimpleQueue[tuple[str, Any]]) -> None:
        super().__init__(daemon=True, name="espret scoring")
        self._worker = worker
        self._results = results
        self.doing = "starting"
        self.since = time.monotonic()
        self.stopped = False
        self.java: Any = None

    def begin(self, doing: str) -> None:
        if self.stopped:
            raise _Stopped
        self.doing, self.since = doing, time.monotonic()

    def put(self, result: Any) -> None:
        self._results.put(("result", result))

    def run(self) -> None:
        try:
            self.java = start().JClass("java.lang.Thread").currentThread()
            self._worker(self)
        except _Stopped:
            return
        except BaseException as error:
            self._results.put(("error", error))
        else:
            self._results.put(("done", None))
