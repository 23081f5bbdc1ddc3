"""Room on disks: how much there is, how to say it, and what is said when there is none."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from espret.errors import EspretError

SPARE = 1_000_000_000  # bytes that stay free where much is written
FULL = (errno.ENOSPC, errno.EDQUOT)  # what a disk without room says


class Unwritable(EspretError):
    """A disk is full, or a folder may not be written to."""


@contextlib.contextmanager
def writing(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Write to a folder: a full disk, and a folder that may not be written to, raise Unwritable with what mends it.

    `needed` are the bytes of all that is written, where known.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            what = f"{error.strerror}; {amount(free_bytes(folder))} free"
            what += f", {amount(needed)} needed" if needed is not None else ""
            mend = "make room there, or take a folder on another disk, and run again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            what, mend = f"{error.strerror}: {error.filename}", "take a folder that you may write to"
        else:
            raise
        raise Unwritable(f"{folder}: {what}; mend: {mend}") from None


def free_bytes(folder: Path) -> int:
    """The free space of the disk that `folder` is on, or would be."""
    there = next(place for place in [folder.absolute(), *folder.absolute().parents] if place.exists())
    return shutil.disk_usage(there).free


def amount(size: int) -> str:
    """A number of bytes to read: `6.5 GB`."""
    number, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.0f} {units[0]}" if number >= 99.5 or units[0] == "bytes" else f"{number:.1f} {units[0]}"
