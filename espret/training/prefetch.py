"""Work done ahead, by threads, of the one who asks for its results. What the work is on is not known here.

Threads, not processes: reading and decoding files, copying and padding release Python's lock, what is made is handed
over without a copy, and nothing is left when the process is killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

AHEAD = 2  # results for each worker that are made or waited for: bounds memory

Task = TypeVar("Task")
Made = TypeVar("Made")


def ahead(
    make: Callable[[Task], Made], tasks: Iterable[Task], workers: int, begin: Callable[[], None] | None = None
) -> Iterator[Made]:
    """`make` of each task, in the order of the tasks, by `workers` threads, in each of which `begin` is called first.

    An error of `make` is raised where its result would have come. Whoever stops early waits for nothing: tasks that
    nobody has begun are dropped.
    """
    todo = iter(tasks)
    pool = ThreadPoolExecutor(workers, "ahead", begin)
    try:
        made: deque[Future[Made]] = deque(pool.submit(make, task) for task in islice(todo, AHEAD * workers))
        while made:
            result = made.popleft().result()
            made.extend(pool.submit(make, task) for task in islice(todo, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
