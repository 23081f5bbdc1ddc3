"""What a run leaves to be continued or used: `checkpoint.pt`, the generation before it, and `best.pt`.

A file is whole or absent: written beside, flushed to disk, renamed. Reading checks every member's CRC and falls back
to the older generation with a warning.
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from espret.errors import EspretError
from espret.files import atomic_write

LAST = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
BEST = "best.pt"


def save(path: Path, value: dict[str, Any]) -> None:
    """Write `value` (tensors and plain values) to `path`, whole or not at all."""
    with atomic_write(path, "wb") as stream:
        torch.save(value, stream)


def save_generation(folder: Path, value: dict[str, Any]) -> None:
    """Write `value` as the newest checkpoint of `folder`; the one before stays as the older generation."""
    if (folder / LAST).exists():
        os.replace(folder / LAST, folder / PREVIOUS)
    save(folder / LAST, value)


def load(path: Path) -> dict[str, Any]:
    """The checkpoint in `path`, on the CPU. Raises EspretError if it is missing, damaged or not a checkpoint."""
    if not path.is_file():
        raise EspretError(f"{path}: no such checkpoint; needs stage 3: run ./run.sh --stage 3 --stop-stage 3")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise EspretError(f"{path}: damaged (checksum of {damaged} differs)")
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, OSError, ValueError, EOFError) as error:
        raise EspretError(f"{path}: not a whole checkpoint: {error}") from None
    if not isinstance(value, dict):
        raise EspretError(f"{path}: expected a mapping, found {type(value).__name__}")
    return value


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint of `folder`, None if there is none yet.

    Raises EspretError if there are checkpoints but none can be read.
    """
    last: EspretError | None = None
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            return load(path)
        except EspretError as error:
            last = error
            print(f"warning: {error}; trying the one before", file=sys.stderr)
    if last is not None:
        raise EspretError(f"{folder}: no checkpoint can be read ({last}); remove the folder to start again")
    return None
