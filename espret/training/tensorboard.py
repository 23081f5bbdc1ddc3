"""TensorBoard's files of a run: the numbers of metrics.jsonl, one point an epoch, for `tensorboard --logdir FOLDER`.

`train` and `valid` are two folders in which the same quantity has the same name, so that TensorBoard draws both in one
chart. The history is what counts: a run that continues writes it anew, so that no point is there twice or missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from espret.files import atomic_write

PARTS = ("train", "valid")
SUFFIX = ".espret"  # other programs' files may lie beside ours

Row = dict[str, Any]


class Board:
    """Event files in `folder`/train and `folder`/valid, open for more epochs than `history` has.

    Raises ImportError, or what else importing a TensorBoard that does not fit its libraries raises.
    """

    def __init__(self, folder: Path, history: Sequence[Row]) -> None:
        # Not torch's or TensorBoard's own writer: both load TensorFlow, for seconds, where it is installed.
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        self._event, self._summary, self._record_writer = Event, Summary, RecordWriter
        self._streams = {part: self._begin(folder / part, part, history) for part in PARTS}

    def add(self, row: Row) -> None:
        """Write the points of one more epoch. Killed within, it leaves a file whose whole points can be read."""
        for part, stream in self._streams.items():
            self._write(stream, part, row)
            stream.flush()

    def close(self) -> None:
        """Close the files."""
        for stream in self._streams.values():
            stream.close()

    def _begin(self, folder: Path, part: str, history: Sequence[Row]) -> IO[bytes]:
        """A new file with `history`, open for more, in place of the one before."""
        before = list(folder.glob(f"events.out.tfevents.*{SUFFIX}"))
        path = folder / f"events.out.tfevents.{time.time_ns()}{SUFFIX}"
        with atomic_write(path, "wb") as stream:
            header = self._event(wall_time=time.time(), file_version="brain.Event:2")
            self._record_writer(stream).write(header.SerializeToString())
            for row in history:
                self._write(stream, part, row)
        for file in before:
            file.unlink()
        return open(path, "ab")

    def _write(self, stream: IO[bytes], part: str, row: Row) -> None:
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in scalars(row, part)]
        event = self._event(
            wall_time=row.get("time", time.time()), step=row["epoch"], summary=self._summary(value=values)
        )
        self._record_writer(stream).write(event.SerializeToString())


def scalars(row: Row, part: str) -> Iterator[tuple[str, float]]:
    """(name, value) of the finite numbers in a row's `part`; those of the whole row (lr, pace) count as of train."""
    whole = {name: value for name, value in row.items() if name not in ("epoch", "time")} if part == "train" else {}
    for name, value in {**whole, **row.get(part, {})}.items():
        if isinstance(value, (int, float)) and math.isfinite(value):
            yield name, float(value)
