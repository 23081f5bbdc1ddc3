"""One JSON record per task, beside its log: what ran, where, when, how it ended. It decides which tasks are done.

A record exists only for a task that has ended. It is removed before the task starts again, so that a record never
speaks for another run than the last.
"""

from __future__ import annotations

import os
import time
from typing import Any

from espret.errors import EspretError
from espret.files import read_json, write_json
from espret.jobs.spec import Request, fail

PICKS = ("all", "failed", "incomplete")


def record_path(log: str) -> str:
    """Where the record of the task with this log lies."""
    return f"{log}.json"


def iso(seconds: float) -> str:
    """A time (seconds since the epoch) as ISO 8601 with the zone."""
    zone = time.strftime("%z", time.localtime(seconds))
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(seconds))}.{int(seconds % 1 * 1000):03d}{zone}"


def read(log: str) -> dict[str, Any] | None:
    """The record of the task with this log, or None if there is none that can be read (the task then runs again)."""
    path = record_path(log)
    if not os.path.exists(path):
        return None
    try:
        value = read_json(path)
    except EspretError:  # cut short by a full disk, say: the same as no record
        return None
    return value if isinstance(value, dict) else None


def is_done(record: dict[str, Any] | None, words: list[str]) -> bool:
    """Whether a record says that exactly this command has succeeded."""
    return record is not None and (record.get("state"), record.get("rc"), record.get("argv")) == ("done", 0, words)


def pick(request: Request) -> tuple[list[int], dict[int, int]]:
    """The tasks to run, and the number that each one's attempt will have (1 for the first).

    `--pick all` takes every task. `incomplete` and `failed` (Kaldi's two names) take every task that is not done:
    failed, interrupted, never started, or done with another command; so success always means that all are done. The
    default is `all`, but `incomplete` where the recipe runner says by ESPRET_RESUME=1 that it re-enters a step whose
    inputs are the same. Records of the picked tasks are removed.
    """
    default = "incomplete" if os.environ.get("ESPRET_RESUME") == "1" else "all"
    choice = request.option("pick") or default
    if choice not in PICKS:
        fail(request.runner, f"option --pick needs one of {', '.join(PICKS)}, found '{choice}'")
    picked, attempts = [], {}
    for task in request.tasks:
        old = read(request.task_log(task))
        if choice != "all" and is_done(old, request.task_words(task)):
            continue
        picked.append(task)
        before = old.get("attempt") if old else 0
        attempts[task] = before + 1 if isinstance(before, int) else 1
    return picked, attempts


def forget(request: Request, tasks: list[int]) -> None:
    """Remove the records of tasks that are about to run."""
    for task in tasks:
        path = record_path(request.task_log(task))
        if os.path.lexists(path):
            os.unlink(path)


def write(log: str, fields: dict[str, Any]) -> None:
    """Write a task's record, atomically."""
    write_json(record_path(log), fields)
