"""Logs of tasks: the head and tail lines that Kaldi's users know, the cause of a failure, following a log as it grows.

A log is `# command`, `# Started at`, `#`, what the command wrote, `# Accounting:`, `# Ended (code N) ...`; where a task
has run under Slurm its script writes the same parts (espret/jobs/sbatch.py).
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import IO

_ERROR = (  # a Python exception, `espret VERB: error: ...`, a shell's complaint
    r"^\s*(?:[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Iteration)\b.*|.*\berror: .+|.*: command not found)$"
)
_TAIL = ("# Accounting: ", "# Ended (code ", "# Finished at ")


def date() -> str:
    """Now, as `date` prints it in the C locale."""
    return time.strftime("%a %b %e %H:%M:%S %Z %Y")


def comment(text: str) -> str:
    """`text` as comment lines, also where it holds line ends."""
    return "# " + text.replace("\n", "\n# ") + "\n"


def head(command: str, host: str) -> str:
    """The first lines of a local task's log; the line `#` ends them."""
    return f"{comment(command)}# Started at {date()}\n# Running on {host}\n#\n"


def tail(code: int, number: int, seconds: float, threads: int, ended_line: bool) -> str:
    """The last lines of a local task's log. `number`: the signal that ended it or 0; `ended_line`: false when the
    command's own last line has no line end."""
    cause = f"; signal {number}" if number else ""
    return (
        f"{'' if ended_line else chr(10)}# Accounting: time={seconds:.0f} threads={threads}\n"
        f"# Ended (code {code}{cause}) at {date()}, elapsed time {seconds:.0f} seconds\n"
    )


def last_lines(path: str, count: int, block: int = 65536) -> list[str]:
    """The last `count` lines of a log, [] if it does not exist. Long lines are cut."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - block))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    # A progress bar overwrites its line; its last state is what the user saw.
    lines = [line.rstrip().rpartition("\r")[2][:2000] for line in text.split("\n")]
    return lines[:-1][-count:] if lines[-1] == "" else lines[-count:]


def signal_of(code: int) -> str | None:
    """The name of the signal behind a shell's exit status (137 -> SIGKILL), or None."""
    try:
        return signal.Signals(code - 128).name if code > 128 else None
    except ValueError:
        return None


def cause(path: str, code: int) -> str:
    """Why a task failed, in one line: the signal, or the last line of its log that reads like an error, or the last."""
    lines = [line.strip() for line in last_lines(path, 50) if line.strip() and not line.startswith("#")]
    error = next((line for line in reversed(lines) if re.match(_ERROR, line)), None)
    name = signal_of(code)
    if name:
        return f"killed by {name}"
    last = f"its last line is: {lines[-1]}" if lines else "nothing in the log"
    return (error or f"exit status {code}, {last}")[:300]


class Follower:
    """Shows on the terminal, line by line, what a command adds to its log; the head and tail lines are left out."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stream: IO[bytes] | None = None
        self._rest = b""
        self._in_head = True

    def pump(self, last: bool = False) -> None:
        """Print the lines that are new. `last`: print an unfinished last line too, the task has ended."""
        if self._stream is None:
            if not os.path.exists(self.path):
                return
            self._stream = open(self.path, "rb")  # noqa: SIM115 (it stays open between calls)
        lines = (self._rest + self._stream.read()).split(b"\n")
        self._rest = lines.pop()
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._show(line.decode("utf-8", "replace"))
        sys.stdout.flush()

    def _show(self, line: str) -> None:
        self._in_head |= line.startswith("# Running on ")  # of the next attempt at a task that Slurm has requeued
        if self._in_head:
            self._in_head = line.startswith("#") and line != "#"
            if line.startswith("#"):
                return
        if not line.startswith(_TAIL):
            print(line)
