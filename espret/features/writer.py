"""Writing an ark that a killed job can go on with: how matrices are stored, and the journal of those that are whole.

What is written, and the tables beside the ark, are the work of `dump`; reading is that of `reader`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import kaldiio
import numpy as np
from numpy.typing import NDArray

from espret.errors import EspretError

Matrix = NDArray[np.float32]

SYNC_SECONDS = 5.0  # of work that a killed job may lose, besides the clips that it was at

# Kaldi has no matrices of half precision: these are .npy arrays, as kaldiio puts them into arks and reads them.
HOW: dict[str, dict[str, Any]] = {
    "float32": {},
    "float16": {"write_function": "numpy"},
    "flac": {"write_function": "soundfile", "write_kwargs": {"format": "FLAC", "subtype": "PCM_16"}},
}


class Row(NamedTuple):
    """Where an utterance's matrix begins and ends in the ark, its frames, and the hash of what is stored."""

    offset: int
    end: int
    frames: int
    sha256: str


class ArkWriter:
    """An ark and its journal, both open; made by `resumable_ark`. `rows` are those in the ark, in its order."""

    def __init__(self, ark: BinaryIO, journal: BinaryIO, stamp: Callable[[str], Any], dtype: str, rate: int) -> None:
        self.rows: dict[str, Row] = {}
        self._ark, self._journal, self._stamp = ark, journal, stamp
        self._dtype, self._rate = dtype, rate
        self._unsaved: list[bytes] = []  # rows of whole groups that the journal does not have yet
        self._synced = time.monotonic()

    def take_up(self, made: Mapping[str, Any], groups: Sequence[Sequence[str]]) -> int:
        """Keep of an earlier run what is whole and still right; returns how many of `groups` that is."""
        head = json.dumps(made).encode() + b"\n"
        lines = self._journal.read().splitlines(keepends=True)
        utts = [utt for group in groups for utt in group]
        rows = self._whole(lines[1:], utts) if lines[:1] == [head] else []
        done = count = 0
        while done < len(groups) and count + len(groups[done]) <= len(rows):
            count += len(groups[done])
            done += 1
        self.rows = dict(zip(utts, rows[:count]))
        if count == 0:
            self._journal.truncate(0)
            self._journal.seek(0)
            self._journal.write(head)
        else:
            self._journal.truncate(sum(map(len, lines[: count + 1])))
            self._journal.seek(0, os.SEEK_END)
        self._ark.truncate(rows[count - 1].end if count else 0)
        self._ark.seek(0, os.SEEK_END)
        return done

    def _whole(self, lines: Sequence[bytes], utts: Sequence[str]) -> list[Row]:
        """The first rows, as long as they are whole lines about these utterances, unchanged, and the ark has them."""
        rows: list[Row] = []
        size = os.fstat(self._ark.fileno()).st_size
        for line, utt in zip(lines, utts):
            try:
                known, stamp, *row = json.loads(line)
            except ValueError:  # the end of what a killed job was writing
                break
            if not line.endswith(b"\n") or known != utt or stamp != self._stamp(utt) or row[1] > size:
                break
            rows.append(Row(*row))
        return rows

    def write(self, group: Sequence[tuple[str, Matrix]]) -> None:
        """Append a group of matrices [frames, dim]. Raises EspretError, naming the utterance, for what the type of
        numbers cannot hold."""
        lines = []
        for utt, matrix in group:
            stored = _stored(matrix, self._dtype, utt)
            offset = self._ark.tell() + len(utt.encode("utf-8")) + 1
            kaldiio.save_ark(
                self._ark, {utt: (self._rate, stored) if self._dtype == "flac" else stored}, **HOW[self._dtype]
            )
            digest = hashlib.sha256(f"{stored.shape} {stored.dtype} ".encode())
            digest.update(stored.data)
            row = Row(offset, self._ark.tell(), len(stored), digest.hexdigest())
            lines.append(json.dumps([utt, self._stamp(utt), *row]).encode() + b"\n")
            self.rows[utt] = row
        self._unsaved += lines
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring the ark to disk, then tell the journal what is in it: it never has more than the ark."""
        self._ark.flush()
        os.fsync(self._ark.fileno())
        self._journal.write(b"".join(self._unsaved))
        self._journal.flush()
        self._unsaved.clear()
        self._synced = time.monotonic()


@contextmanager
def resumable_ark(path: Path, stamp: Callable[[str], Any], dtype: str, rate: int) -> Iterator[ArkWriter]:
    """An ark that appears at `path` when the block ends well; else what is in it stays, hidden, to be taken up.

    `stamp` gives what an utterance's matrix is made of, as JSON knows it: another one is made again. `dtype` is
    float32, float16, or flac for waveforms at `rate` Hz. Raises EspretError where another process is at it.
    """
    part, journal = (path.with_name(f".{path.name}.{kind}.tmp") for kind in ("part", "journal"))
    with _opened(part) as ark, _opened(journal) as rows:
        _lock(ark, path)
        writer = ArkWriter(ark, rows, stamp, dtype, rate)
        try:
            yield writer
        finally:
            writer.sync()
        os.replace(part, path)
        journal.unlink()


def _opened(path: Path) -> BinaryIO:
    """A file to read and write, made if it is absent."""
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")


def _lock(stream: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EspretError(f"{path}: another process is writing it; expected one job for each shard") from None
    except OSError:  # a file system without locks
        pass


def _stored(matrix: Matrix, dtype: str, utt: str) -> NDArray[Any]:
    """The numbers that go into the ark: float16, or for flac int16, -32768..32767 for -1..1; louder is cut off."""
    if dtype == "float32":
        return np.ascontiguousarray(matrix)
    if dtype == "flac":
        return np.clip(np.rint(matrix * 32768), -32768, 32767).astype(np.int16)
    with np.errstate(over="ignore"):
        half = matrix.astype(np.float16)
    if not np.isfinite(half).all():
        raise EspretError(
            f"'{utt}': features up to {np.abs(matrix).max():g}; expected at most 65504, where float16 ends; "
            "mend: features.dtype: float32"
        )
    return np.ascontiguousarray(half)
