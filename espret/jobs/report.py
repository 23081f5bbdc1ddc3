"""What a runner says on the terminal: a status line while tasks run, and which tasks failed and why at the end."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterable
from typing import NamedTuple

from espret.jobs.log import last_lines
from espret.jobs.spec import Request

LOG_LINES = 20  # lines of the first failing log that are shown


class Failure(NamedTuple):
    """A task that failed, and the cause in one line."""

    task: int
    log: str
    cause: str


def say(runner: str, text: str) -> None:
    """One message on the terminal. A terminal that has gone away (a closed ssh session) does not stop the runner."""
    with contextlib.suppress(BrokenPipeError, OSError):
        print("\n".join(f"{runner}: {line}" for line in text.split("\n")), file=sys.stderr, flush=True)


def ranges(tasks: Iterable[int], pairs: bool = False) -> str:
    """`1-4, 7, 8` for 1 2 3 4 7 8: runs of three and more are written as a range (of two and more with `pairs`)."""
    runs: list[list[int]] = []
    for task in sorted(tasks):
        if runs and task == runs[-1][1] + 1:
            runs[-1][1] = task
        else:
            runs.append([task, task])
    words = []
    for first, last in runs:
        short = last - first >= (1 if pairs else 2)
        words += [f"{first}-{last}"] if short else [str(task) for task in range(first, last + 1)]
    return ", ".join(words)


def report_failures(request: Request, failures: list[Failure], total: int) -> None:
    """Say which tasks failed, the causes (tasks with the same one together), and the end of the first failing log."""
    failures = sorted(failures)
    first = failures[0]
    if len(request.tasks) == 1:
        say(request.runner, f"job failed: {first.cause}")
    else:
        say(request.runner, f"{len(failures)} / {total} failed: {ranges(item.task for item in failures)}")
        for tasks, text in _by_cause(failures):
            say(request.runner, f"  {ranges(tasks)}: {text}")
    lines = [line for line in last_lines(first.log, 100) if not line.startswith("# SLURM_")][-LOG_LINES:]
    if lines:
        say(request.runner, f"the last {len(lines)} lines of {first.log}:")
        with contextlib.suppress(BrokenPipeError, OSError):
            print("\n".join(f"    {line}" for line in lines), file=sys.stderr, flush=True)
    if request.job is None and "JOB" in request.log:
        say(request.runner, "the log's name has JOB in it: probably JOB=1:$nj is missing before it")
    say(request.runner, f"log is in {first.log}" + (f" (all: {request.log})" if len(failures) > 1 else ""))


def _by_cause(failures: list[Failure]) -> list[tuple[list[int], str]]:
    """Causes that differ only in numbers (of a shard, a line, an address) are one."""
    groups: dict[str, tuple[list[int], str]] = {}
    for item in failures:
        key = re.sub(r"0x[0-9a-fA-F]+|\d+", "#", item.cause)
        groups.setdefault(key, ([], item.cause))[0].append(item.task)
    return sorted(groups.values(), key=lambda group: -len(group[0]))


class Progress:
    """One status line, rewritten in place, on a terminal; nothing elsewhere."""

    def __init__(self, runner: str, total: int, quiet: bool = False) -> None:
        self.active = sys.stderr.isatty() and not quiet
        self._runner, self._total = runner, total
        self._start = self._shown = time.monotonic()

    def show(self, done: int, failed: int, running: int, note: str = "") -> None:
        """Rewrite the line, at most four times a second."""
        now = time.monotonic()
        if not self.active or now - self._shown < 0.25:
            return
        self._shown = now
        elapsed = now - self._start
        ended = done + failed
        left = f", {_clock(elapsed / ended * (self._total - ended))} left" if 0 < ended < self._total else ""
        text = (
            f"{self._runner}: {done} done, {failed} failed, {running} running of {self._total}, {_clock(elapsed)}{left}"
        )
        print(f"\r\x1b[K{text[:200]}{note and '; ' + note}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.active:
            with contextlib.suppress(BrokenPipeError, OSError):
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
