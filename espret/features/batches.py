"""Which clips go through a front end together, and reading them ahead of it. What they are is not known here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

Batch = list[str]  # utterances that go through the front end together
Window = list[Batch]  # batches of utterances that follow each other in the data directory
WINDOW = 4  # batches from among which clips of similar length are put together


def cut_windows(utts: Sequence[str], seconds: Callable[[str], float], batch_seconds: float) -> list[Window]:
    """All utterances, in order, as windows of some four batches of clips of similar length.

    A batch has at most `batch_seconds` of sound, or one clip; 0: one clip, whose length is not asked for. It depends on
    the whole list, so that how work is spread over jobs, whole windows at a time, does not change what a clip is
    computed with, and with it its last digits.
    """
    if batch_seconds <= 0:
        return [[[utt]] for utt in utts]
    lengths = {utt: seconds(utt) for utt in utts}
    windows = _filled(utts, lengths, WINDOW * batch_seconds)
    return [_filled(sorted(window, key=lambda utt: (lengths[utt], utt)), lengths, batch_seconds) for window in windows]


def _filled(utts: Sequence[str], lengths: dict[str, float], limit: float) -> list[Batch]:
    """Utterances in the order given, as many together as `limit` seconds allow, but at least one."""
    found: list[Batch] = []
    room = 0.0
    for utt in utts:
        if not found or lengths[utt] > room:
            found.append([])
            room = limit
        found[-1].append(utt)
        room -= lengths[utt]
    return found


def read_ahead(
    read: Callable[[str], T], batches: Iterable[Sequence[str]], readers: int, ahead: int
) -> Generator[list[T], None, None]:
    """What `read` makes of each batch, in order, by `readers` threads that are `ahead` batches ahead at most.

    An error of `read` is raised where its batch would come. Closing the iterator ends the threads.
    """
    pool = ThreadPoolExecutor(readers, thread_name_prefix="reader")
    pending: deque[list[Future[T]]] = deque()
    try:
        for batch in batches:
            pending.append([pool.submit(read, utt) for utt in batch])
            if len(pending) > ahead:
                yield [future.result() for future in pending.popleft()]
        while pending:
            yield [future.result() for future in pending.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)
