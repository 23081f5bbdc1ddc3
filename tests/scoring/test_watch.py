"""Watched threads: what they put, what they raise, and a caption that takes too long."""

import threading
import time

import pytest

from espret.errors import EspretError
from espret.scoring.watch import Watch, watched


def test_results_of_all_threads() -> None:
    def worker(watch: Watch) -> None:
        for number in range(3):
            watch.begin(f"number {number}")
            watch.put(number)

    assert sorted(watched("tool", [worker] * 3)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_an_error_in_a_thread_is_raised_here() -> None:
    def worker(watch: Watch) -> None:
        raise EspretError("broken caption")

    with pytest.raises(EspretError, match="broken caption"):
        list(watched("tool", [worker]))


def test_a_slow_caption_is_named_and_the_others_end() -> None:
    stop = threading.Event()
    seen = []

    def slow(watch: Watch) -> None:
        watch.begin("parsing 'a caption without end'")
        stop.wait(30)

    def quick(watch: Watch) -> None:
        for number in range(10_000):
            watch.begin(f"parsing {number}")
            seen.append(number)
            time.sleep(0.01)

    started = time.monotonic()
    with pytest.raises(EspretError, match="tool: no answer within 0.5 s, parsing 'a caption without end'"):
        list(watched("tool", [slow, quick], limit=0.5))
    assert time.monotonic() - started < 10
    time.sleep(0.1)
    count = len(seen)
    time.sleep(0.1)
    assert len(seen) == count  # nobody waits for the other thread either: it has ended
    stop.set()


def test_the_clock_starts_anew_with_each_caption() -> None:
    def worker(watch: Watch) -> None:
        for number in range(5):
            watch.begin(f"number {number}")
            time.sleep(0.2)
        watch.put("done")

    assert list(watched("tool", [worker], limit=0.7)) == ["done"]
