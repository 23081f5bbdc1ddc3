from __future__ import annotations

import threading
import time

import pytest

from espret.features.batches import cut_windows, read_ahead

UTTS = [f"u{i:02}" for i in range(40)]
SECONDS = {utt: float(1 + 7 * i % 10) for i, utt in enumerate(UTTS)}


@pytest.mark.parametrize("limit", [0.5, 5.0, 20.0, 60.0, 1000.0])
def test_windows_hold_all_clips_and_batches_clips_of_similar_length(limit: float) -> None:
    windows = cut_windows(UTTS, SECONDS.__getitem__, limit)
    assert [utt for window in windows for utt in sorted(utt for batch in window for utt in batch)] == UTTS
    for window in windows:
        lengths = [[SECONDS[utt] for utt in batch] for batch in window]
        assert all(sum(batch) <= limit or len(batch) == 1 for batch in lengths)
        flat = [length for batch in lengths for length in batch]
        assert flat == sorted(flat)
    if limit == 20.0:
        assert 3 < sum(map(len, windows)) / len(windows) <= 6


def test_clip_by_clip_asks_for_no_length() -> None:
    assert cut_windows(UTTS, {}.__getitem__, 0) == [[[utt]] for utt in UTTS]
    assert cut_windows([], {}.__getitem__, 10) == []


@pytest.mark.parametrize(("readers", "ahead"), [(1, 1), (3, 2), (8, 8)])
def test_reading_ahead_keeps_the_order_and_the_bounds(readers: int, ahead: int) -> None:
    batches = [["a", "b"], ["c"], ["d", "e", "f"], ["g"], ["h"], ["i"]]
    started: list[str] = []
    running, most = 0, 0
    lock = threading.Lock()

    def read(utt: str) -> str:
        nonlocal running, most
        with lock:
            started.append(utt)
            running += 1
            most = max(most, running)
        time.sleep(0.002 if utt in "adg" else 0.0)
        with lock:
            running -= 1
        return utt.upper()

    got = []
    for number, batch in enumerate(read_ahead(read, batches, readers, ahead)):
        got.append(batch)
        allowed = {utt for some in batches[: number + ahead + 1] for utt in some}
        assert set(started) <= allowed
    assert got == [[utt.upper() for utt in batch] for batch in batches]
    assert most <= readers


def test_an_error_comes_where_its_clip_would() -> None:
    def read(utt: str) -> str:
        if utt == "c":
            raise ValueError("no c")
        return utt

    clips = read_ahead(read, [["a"], ["b"], ["c"], ["d"]], 2, 3)
    assert [next(clips), next(clips)] == [["a"], ["b"]]
    with pytest.raises(ValueError, match="no c"):
        next(clips)


def test_closing_ends_the_threads() -> None:
    clips = read_ahead(str.upper, [[utt] for utt in UTTS], 4, 4)
    assert next(clips) == ["U00"]
    clips.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]
