"""Running one command of a step: its placeholders, its log on the terminal while it grows, its end at an interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espret.errors import EspretError, nearest
from espret.jobs.guard import die_with_parent
from espret.recipe.ledger import Partial


def expand(command: list[str], partial: Partial) -> list[str]:
    """Fill in where to write: `{out}` and `{log}`, and `{<output>}` for a step with several outputs."""
    words = []
    for word in command:
        word = word.replace("{log}", partial.log).replace("{out}", next(iter(partial.paths.values())))
        for output, path in partial.paths.items():
            word = word.replace("{" + output + "}", path)
        words.append(word)
    return words


def run_command(
    words: list[str],
    environment: dict[str, str],
    say: Callable[[str], None],
    what: str,
    lock: int | None = None,
    follow: str | None = None,
) -> None:
    """Run a command, waiting for it. Raises EspretError if it fails; an interrupt ends it first, then is raised.

    The child is told to end when this process dies, and holds `lock` open until it does.
    """
    inherited = dict(os.environ, **environment)
    if lock is not None:
        inherited["ESPRET_LOCK_FD"] = str(lock)
    parent = os.getpid()

    def child_setup() -> None:
        os.setpgid(0, 0)  # else the terminal's Ctrl-C would reach the child beside the one that is passed on
        die_with_parent(parent, signal.SIGTERM)

    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            env=inherited,
            pass_fds=() if lock is None else (lock,),
            preexec_fn=child_setup,  # no thread runs yet: the log is followed from below on
        )
    except FileNotFoundError:
        known = ["run.py", "slurm.py", "espret"]
        raise EspretError(f"{what}: no command '{words[0]}' on PATH{nearest(words[0], known)}") from None
    with _forwarding(child, say), _following(follow):
        status = child.wait()
    if status != 0:
        raise EspretError(f"{what}: the command failed (status {status}); it is done again by the same ./run.sh")


@contextmanager
def _forwarding(child: subprocess.Popen[bytes], say: Callable[[str], None]) -> Iterator[None]:
    """Pass signals on to the child, wait for it, then end this process as the signal says."""
    received: list[int] = []

    def forward(number: int, _frame: Any) -> None:
        received.append(number)
        child.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        say(f"interrupted ({signal.Signals(received[0]).name}); the same command takes the work up again")
        raise SystemExit(128 + received[0])


@contextmanager
def _following(folder: str | None) -> Iterator[None]:
    """Show what is appended to the logs in `folder` on the terminal, without the lines of the runner (`# ...`)."""
    if folder is None:
        yield
        return
    done = threading.Event()
    before = {path: path.stat().st_mtime_ns for path in Path(folder).glob("*.log")}
    thread = threading.Thread(target=_follow, args=(Path(folder), before, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _follow(folder: Path, before: dict[Path, int], done: threading.Event) -> None:
    """Print complete lines as they come, of the logs that are not as they were `before` (path -> time of change)."""
    position: dict[Path, int] = {}
    ended = False
    while not ended:
        ended = done.wait(0.3)
        for path in sorted(folder.glob("*.log")):
            if path.stat().st_mtime_ns != before.get(path):
                position[path] = _print_lines(path, position.get(path, 0), whole=ended)


def _print_lines(path: Path, position: int, whole: bool) -> int:
    """Print the complete lines after byte `position` (all of it if `whole`); returns the new position."""
    if path.stat().st_size < position:  # the runner began the log anew
        position = 0
    with open(path, "rb") as stream:
        stream.seek(position)
        text = stream.read()
    if not whole:
        text = text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]  # a bar of progress ends in \r
    for line in text.decode("utf-8", "replace").splitlines():
        if line and not line.startswith("#"):
            print(f"    {line}", flush=True)
    return position + len(text)
