"""What the installers of tools/installers share: where a thing lies, whether it is whole, one installer at a time.

A thing is a folder of tools/ with a record of its files and their sizes, written last. What is installed, and from
where, is in espret.scoring.spice.install (SPICE's parser) and espret.scoring.fense.install (FENSE's networks).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from espret.errors import EspretError
from espret.files import read_json, write_json

RECORD = "installed.json"  # {relative path: bytes}, written when all is in place


def home(name: str, variable: str) -> Path:
    """The folder of a thing: what the environment variable says, else tools/NAME of the checkout that espret is
    imported from, else (an installed wheel) $XDG_DATA_HOME/espret/NAME.
    """
    if chosen := os.environ.get(variable):
        return Path(chosen).expanduser().absolute()
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "tools" / "installers").is_dir():
        return checkout / "tools" / name
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "espret" / name


def whole(place: Path) -> bool:
    """Whether every recorded file is there with its right size. Takes about a millisecond."""
    record = place / RECORD
    return record.is_file() and all(_has_size(place / name, size) for name, size in read_json(record).items())


def write_record(place: Path, files: Iterable[Path]) -> None:
    """Record files below `place` as installed."""
    write_json(place / RECORD, {path.relative_to(place).as_posix(): path.stat().st_size for path in sorted(files)})


def remove_damaged(place: Path) -> None:
    """Remove every recorded file that has another size by now."""
    record = place / RECORD
    for name, size in read_json(record).items() if record.is_file() else ():
        if not _has_size(place / name, size):
            (place / name).unlink(missing_ok=True)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Hold the lock of a thing's folder, which is made; a second installer waits."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".install.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def run(name: str, action: Callable[[], int]) -> int:
    """The exit status of an installer's `action`, after its error message if it has one."""
    try:
        return action()
    except EspretError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.status
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"{name}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted; start it again to continue", file=sys.stderr)
        return 130
