"""Locks: two runs in one recipe folder never write the same output; the second waits and says who holds what.

A lock is a `flock` on `<parent>/.espret/<name>.lock`. The commands of a step inherit the descriptor, so the lock is
held as long as any of them lives, even when the run that started them was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from espret.recipe.ledger import SIDE


def lock_path(output: str) -> Path:
    """The lock file of an output."""
    path = Path(output)
    return path.parent / SIDE / f"{path.name}.lock"


def holder(output: str) -> dict[str, str] | None:
    """Who is writing an output now, or None."""
    path = lock_path(output)
    if not path.exists():
        return None
    with open(path, "r+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _read(stream)
        return None


def _read(stream: IO[str]) -> dict[str, str]:
    stream.seek(0)
    try:
        return dict(json.loads(stream.read()))
    except ValueError:  # the holder has the lock but has not written its name yet
        return {}


def describe(who: dict[str, str], output: str) -> str:
    """`data/train is held by process 12 on host h since ...`; a dead process means that its commands still run."""
    if not who:
        return f"{output} is held by another run"
    alive = who.get("host") != socket.gethostname() or os.path.exists(f"/proc/{who.get('pid')}")
    what = "" if alive else " (which was killed; its last commands are still ending)"
    return f"{output} is held by process {who.get('pid')} on {who.get('host')} since {who.get('since')}{what}"


@contextlib.contextmanager
def locked(output: str, shared: bool, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock of an output; yields its file descriptor, inheritable. Waits, with a message, while it is taken."""
    path = lock_path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as stream:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(stream, mode | fcntl.LOCK_NB)
        except OSError:
            say(f"{describe(_read(stream), output)}; waiting for it")
            fcntl.flock(stream, mode)
        if not shared:
            stream.seek(0)
            stream.truncate()
            json.dump(
                {
                    "pid": str(os.getpid()),
                    "host": socket.gethostname(),
                    "since": time.strftime("%Y-%m-%dT%H:%M:%S"),
                    "command": " ".join(sys.argv),
                },
                stream,
            )
            stream.flush()
        os.set_inheritable(stream.fileno(), True)
        yield stream.fileno()
