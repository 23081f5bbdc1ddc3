"""A batch that ended a run: named in the error, and left in a file that shows what was in it."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from espret.errors import EspretError
from espret.models.batch import Batch
from espret.training import checkpoint, distributed
from espret.training.seeds import Seeds

FILE = "bad_batch.pt"


def dump(batch: Batch, place: Seeds, folder: Path) -> Path:
    """Leave the batch, as the network saw it, and its place in the run, for torch.load; returns the file."""
    path = folder / (FILE if not place.process else f"bad_batch.{place.process}.pt")
    values = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in asdict(batch).items()}
    checkpoint.save(path, {**values, **place._asdict()})
    return path


@contextlib.contextmanager
def named(batch: Batch, place: Seeds, folder: Path) -> Iterator[None]:
    """What goes wrong inside leaves its batch and says where; unless it is that another process has gone."""
    try:
        yield
    except Exception as error:
        if distributed.world() > 1 and ("gloo" in str(error) or "NCCL" in str(error)):
            raise
        with contextlib.suppress(Exception):  # nothing may hide what is wrong: a full disk, a GPU that answers no more
            path = dump(batch, place, folder)
            print(f"the batch of epoch {place.epoch}, step {place.step} is in {path}", file=sys.stderr)
        raise


class Finite:
    """Refuses losses and gradients that are NaN or infinite, a step late: looking at once would make a GPU wait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: tuple[list[str], Tensor, torch.cuda.Event | None, Batch, Seeds] | None = None

    def later(self, values: dict[str, Tensor], batch: Batch, place: Seeds) -> None:
        """Look at the values of the step before, then keep these, scalars by what they are, for the next call."""
        copy = torch.stack([*values.values()]).to("cpu", non_blocking=True)
        event = torch.cuda.Event() if batch.feats.is_cuda else None
        if event:
            event.record()
        self.now()
        self._last = list(values), copy, event, batch, place

    def now(self) -> None:
        """Look at what is kept. Raises EspretError that names the step, its clips and the file with the batch."""
        if self._last is None:
            return
        names, values, event, batch, place = self._last
        self._last = None
        if event:
            event.synchronize()  # with the copy only: what was begun since goes on
        for what, value in zip(names, values.tolist()):
            if not math.isfinite(value):
                raise EspretError(
                    f"{what} is {value} in epoch {place.epoch}, step {place.step}; clips of the batch"
                    f"{self._left(batch, place)}: {' '.join(batch.utts)}; look at their features and captions, or "
                    "lower train.optimizer.lr, or set train.grad_clip"
                )

    def _left(self, batch: Batch, place: Seeds) -> str:
        with contextlib.suppress(OSError):  # a full disk must not hide what is wrong
            return f" (it is in {dump(batch, place, self.folder)})"
        return ""
