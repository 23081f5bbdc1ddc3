"""What a run leaves to be continued or used: `checkpoint.pt`, the generation before it, `best.pt` and its like.

A file is whole or absent: written beside, flushed to disk, renamed. It is torch's zip format, for any program that
reads that; the archive's comment is the SHA-256 of all that stands before. Reading checks it, and falls back to the
generation before with a warning.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
import sys
from pathlib import Path
from typing import IO, Any

import torch

from espret.errors import EspretError
from espret.files import atomic_write
from espret.training import distributed

LAST = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
BEST = "best.pt"

HEX = 64  # bytes of the comment
COMMENT = struct.pack("<H", HEX)  # its length, the last field of a zip


def save(path: Path, value: dict[str, Any]) -> None:
    """Write `value` (tensors and plain values) to `path`, whole or not at all."""
    with atomic_write(path, "w+b") as stream:
        write(stream, value)


def write(stream: IO[bytes], value: dict[str, Any]) -> None:
    """Write `value`, with its hash, to a stream that can be read as well."""
    torch.save(value, stream)
    size = stream.seek(-len(COMMENT), os.SEEK_END)
    stream.write(COMMENT)
    digest = _digest(stream, size + len(COMMENT))
    stream.seek(0, os.SEEK_END)
    stream.write(digest)


def _digest(stream: IO[bytes], size: int) -> bytes:
    """The SHA-256 of the first `size` bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    stream.seek(0)
    while size > 0 and (block := stream.read(min(size, 1 << 20))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode()


def save_generation(folder: Path, value: dict[str, Any]) -> None:
    """Write `value` as the newest checkpoint of `folder`; the one before stays as the older generation."""
    if (folder / LAST).exists():
        os.replace(folder / LAST, folder / PREVIOUS)
    save(folder / LAST, value)


def load(path: Path) -> dict[str, Any]:
    """The checkpoint in `path`, on the CPU. Raises EspretError if it is missing, damaged or not a checkpoint."""
    if not path.is_file():
        raise EspretError(f"{path}: no such checkpoint; needs stage 3: run ./run.sh --stage 3 --stop-stage 3")
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END) - HEX
        if size < 0 or _digest(stream, size) != stream.read(HEX):
            raise EspretError(
                f"{path}: not a whole checkpoint: its SHA-256 is not the one at its end (it is damaged, or an older "
                "espret wrote it)"
            )
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise EspretError(f"{path}: not a checkpoint: {error}") from None
    if not isinstance(value, dict):
        raise EspretError(f"{path}: expected a mapping, found {type(value).__name__}")
    return value


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint of `folder`, None if there is none yet.

    Raises EspretError if there are checkpoints but none can be read.
    """
    unread: list[EspretError] = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            value = load(path)
        except EspretError as error:
            unread.append(error)
            continue
        if unread and distributed.rank() == 0:
            print(f"warning: {unread[0]}; the run goes on from the one before", file=sys.stderr)
        return value
    if unread:
        raise EspretError(f"no checkpoint can be read: {unread[0]}; mend: remove {folder} to start again")
    return None
