"""Signals that ask a run to stop: noted here, obeyed by the loop after the step at hand, once its state is on disk."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # the last: the warning that schedulers are told to send


class Stopped(Exception):
    """The run was asked to stop, and has saved where it was."""

    def __init__(self, number: int, epoch: int, step: int) -> None:
        self.number, self.name = number, signal.Signals(number).name
        super().__init__(f"stopped by {self.name} in epoch {epoch} after step {step}; the same command goes on there")


class Interruption:
    """While entered, the first of SIGNALS is only noted in `number`; a second one acts as it would without this."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # Python takes signals there only
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self.__exit__()
