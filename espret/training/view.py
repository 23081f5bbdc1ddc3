"""What a run shows of itself beside metrics.jsonl: environment.json, TensorBoard's files, curves as PNG.

Only rank 0 writes. None of it is a reason for a run to fail: what goes wrong is said once, and training goes on; of a
full disk the run's own checkpoints tell. Lines while an epoch is under way: progress.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from espret.mending import packages
from espret.training import curves, distributed, environment
from espret.training.tensorboard import Board

MINUTES = 5.0  # between two drawings of the curves


class View:
    """As a context manager around the epochs of a run.

    Args: out: the experiment's folder; history: the run's, which grows; best: gives its best epoch.
    """

    def __init__(
        self, out: Path, history: Sequence[dict[str, Any]], best: Callable[[], int], device: torch.device
    ) -> None:
        self.out, self.history, self.best = out, history, best
        self._board: Board | None = None
        self._failed: set[str] = set()
        self._drawn = time.monotonic()
        self._outdated = bool(history) and not (out / "images").is_dir()
        if distributed.rank() == 0:
            self._try("environment.json", lambda: environment.record(out, device))
            self._try("TensorBoard files", self._open_board)

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._outdated and distributed.rank() == 0:
            self._draw()
        if self._board is not None:
            self._try("TensorBoard files", self._board.close)

    def epoch(self) -> None:
        """Show the history's last row."""
        if distributed.rank() != 0:
            return
        self._outdated = True
        if self._board is not None:
            board = self._board
            self._try("TensorBoard files", lambda: board.add(self.history[-1]))
        if time.monotonic() - self._drawn >= 60 * MINUTES:
            self._draw()

    def _open_board(self) -> None:
        try:
            self._board = Board(self.out / "tensorboard", self.history)
        except ImportError as error:
            raise RuntimeError(f"{error}; mend: {packages('tensorboard')}") from None

    def _draw(self) -> None:
        self._try("images", lambda: curves.draw(self.history, self.best(), self.out / "images"))
        self._drawn, self._outdated = time.monotonic(), False

    def _try(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # of whatever kind: libraries of the user's own environment are involved
            if what not in self._failed:
                self._failed.add(what)
                print(f"warning: {self.out}: no {what}: {error}", file=sys.stderr, flush=True)
