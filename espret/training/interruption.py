"""Signals that ask a run to stop: noted here, obeyed by the loop after the step at hand, once its state is on disk."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

WARNING = signal.SIGUSR1  # what a scheduler sends before a job's time is over: espret/jobs/sbatch.py
SIGNALS = (signal.SIGTERM, signal.SIGINT, WARNING)
ECHO = 2.0  # seconds in which one request may come several times: to a whole group, and passed on by launchers


def status(number: int) -> int:
    """The exit status of a run that has saved and stopped because of signal `number`.

    EX_TEMPFAIL (75) after the warning: whoever started the run shall start it again. Else what a shell says of the
    signal: Slurm itself starts a job again that it has preempted, and a job that was cancelled shall not come back.
    """
    return os.EX_TEMPFAIL if number == WARNING else 128 + number


def ignore_from_now_on() -> None:
    """For a process that has saved and is about to end: the same request may come once more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Stopped(Exception):
    """The run was asked to stop, and has saved where it was."""

    def __init__(self, number: int, epoch: int, step: int) -> None:
        self.number, self.name, self.status = number, signal.Signals(number).name, status(number)
        super().__init__(f"stopped by {self.name} in epoch {epoch} after step {step}; the same command goes on there")


class Interruption:
    """While entered, the first of `signals` is only noted in `number`; a second one acts as if nobody had asked for it.

    No second one is what comes within ECHO seconds, nor the end of which the warning warned. What an Interruption
    around this one has noted is taken over.
    """

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        self.number = 0
        self._signals = signals
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # Python takes signals there only
            for number in self._signals:
                before = self._before[number] = signal.signal(number, self._note)
                around = getattr(before, "__self__", None)
                if isinstance(around, Interruption) and around.number:
                    self.number, self._since = around.number, around._since
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number in (0, WARNING):
            self.number, self._since = number, now
        elif now - self._since >= ECHO:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            os.kill(os.getpid(), number)


class Beginning(Interruption):
    """While all that a run needs is loaded: the warning is noted, Ctrl-C ends the process at once.

    Not by an exception, which libraries that are being loaded swallow here and there, or which leaves them half loaded.
    """

    def __init__(self) -> None:
        super().__init__((signal.SIGINT, WARNING))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            with contextlib.suppress(OSError):
                os.write(2, b"espret train: interrupted\n")
            os._exit(status(number))
        super()._note(number, frame)
