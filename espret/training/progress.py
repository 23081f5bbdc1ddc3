"""How fast a run goes: an epoch's seconds, the share of them waited for data, and lines about it.

Within an epoch the line is rewritten in place on a terminal and written at most once a minute to a log; every process
measures, rank 0 prints. What else a run shows of itself: view.py.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from espret.training import distributed

TERMINAL_SECONDS = 0.2  # between two states of the line on a terminal
LOG_SECONDS = 60.0  # between two lines in a log
ERASE = "\r\x1b[K"

Row = dict[str, Any]
T = TypeVar("T")


class Done(Protocol):
    """How far an interrupted epoch is: its steps, the seconds they took, and how many of these were waited for data."""

    step: int
    seconds: float
    waited: float


class Pace:
    """One epoch's pace; as a context manager around its steps.

    Args: history: the rows of the epochs before; epochs: of the run; steps, clips: of the epoch (clips of all
    processes); done: how far it was before an interruption. `seconds` and `waited` are those of the whole epoch, so a
    run that continues within it starts there.
    """

    def __init__(self, history: Sequence[Row], epochs: int, steps: int, clips: int, done: Done) -> None:
        self.history, self.epochs, self.steps, self.clips = history, epochs, steps, clips
        self.done_steps, self.waited = done.step, done.waited
        self._started = time.monotonic()
        self._before = done.seconds
        self._ended: float | None = None
        self._clips, self._loss = 0, torch.zeros(())  # since this process started: what was before may be elsewhere
        self._printed = self._started
        self._shown = distributed.rank() == 0
        self._terminal = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Pace:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = time.monotonic()
        if self._shown and self._terminal:
            print(ERASE, end="", flush=True)

    @property
    def seconds(self) -> float:
        """The seconds of the epoch's steps so far."""
        now = time.monotonic() if self._ended is None else self._ended
        return self._before + now - self._started

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """`batches`, while what each keeps its reader waiting is added to `waited`."""
        iterator = iter(batches)
        while True:
            asked = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            finally:
                self.waited += time.monotonic() - asked
            yield batch

    def step(self, clips: int, loss: Tensor) -> None:
        """Count a step on `clips` of this process's clips with mean loss `loss` (scalar), and show it where due."""
        self.done_steps += 1
        self._clips += clips
        self._loss = self._loss.to(loss.device) + loss.detach() * clips  # its value is asked for only where shown
        if not self._shown:
            return
        now = time.monotonic()
        if now - self._printed >= (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            self._printed = now
            if self._terminal:
                width = shutil.get_terminal_size().columns - 1
                print(f"\r{self.line()[:width]}\x1b[K", end="", flush=True)
            else:
                print(self.line(), flush=True)

    def line(self) -> str:
        """What is known of the epoch so far. Loss and clips a second are of the steps since this process started."""
        speed = self._clips * distributed.world() / (time.monotonic() - self._started)
        return (
            f"epoch {len(self.history) + 1}/{self.epochs}  step {self.done_steps}/{self.steps}"
            f"  loss {self._loss.item() / self._clips:.3f}  {speed:.0f} clips/s"
            f"  data wait {100 * self.waited / self.seconds:.0f}%  ETA {clock(self.remaining())}"
        )

    def remaining(self) -> float:
        """Seconds to the end of the run, at the pace of this epoch and the one before; validation included."""
        last = self.history[-1] if self.history and "steps" in self.history[-1] else {"steps": 0, "seconds": 0.0}
        per_step = (self.seconds + last["seconds"]) / (self.done_steps + last["steps"])
        measured = [row["valid_seconds"] for row in self.history if "valid_seconds" in row]
        validation = fmean(measured) if measured else 0.0
        epochs_left = self.epochs - len(self.history) - 1
        steps_left = self.steps - self.done_steps + epochs_left * self.steps
        return per_step * steps_left + (epochs_left + 1) * validation

    def row(self, device: torch.device) -> Row:
        """What metrics.jsonl says of the epoch's pace, after validation."""
        assert self._ended is not None
        return {
            "time": round(time.time()),  # of the epoch's end, in seconds since 1970
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "valid_seconds": round(time.monotonic() - self._ended, 3),
            "clips_per_second": round(self.clips / self.seconds, 1),
            "data_wait": round(self.waited / self.seconds, 4),
            "memory_gb": round(peak_memory(device) / 1e9, 3),
        }


def epoch_line(row: Row, shown: Sequence[str], epochs: int, best: bool) -> str:
    """One line on an epoch that is done, with the validation metrics `shown`; `*` marks the best so far."""
    left = (epochs - row["epoch"]) * (row["seconds"] + row["valid_seconds"])
    figures = "  ".join(f"{name} {row['valid'][name]:.4g}" for name in shown)
    return (
        f"epoch {row['epoch']}/{epochs}  loss {row['train']['loss']:.3f}  valid loss {row['valid']['loss']:.3f}"
        f"  {figures}  lr {row['lr']:.2g}  {row['clips_per_second']:.0f} clips/s"
        f"  ETA {clock(left)}{' *' if best else ''}"
    )


def clock(seconds: float) -> str:
    """`3:05` (minutes and seconds) or `2:03:05`."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def peak_memory(device: torch.device) -> int:
    """The most bytes held at once so far: of GPU memory by tensors, on the CPU by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Not getrusage where it can be helped: a process inherits its figure from the one that started it.
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
