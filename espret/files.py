"""Files that are whole or absent: atomic writes, JSON and JSON Lines with errors that name file and line, hashes.

Only the standard library, so that the job runners and the ledger start fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from espret.errors import EspretError

PARTIAL = ".partial"  # suffix of an output that a step is still writing


# In an output whose files depend on how work was spread over jobs: a hash of what they hold, which the ledger goes by.
CONTENT = "content.sha256"


def final_path(path: str | os.PathLike[str]) -> Path:
    """Where a file will be once its step is done: `dump/x.partial/feats.ark` -> `dump/x/feats.ark`.

    Files that name other files (feats.scp) are written with the final name while they still lie in the partial one.
    """
    return Path(*(part.removesuffix(PARTIAL) if part != PARTIAL else part for part in Path(path).parts))


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary sibling for writing; on success flush it to disk and rename it to `path`, else remove it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    name = target.parent / f".{target.name}.{os.urandom(6).hex()}.tmp"
    handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
        with open(handle, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def remove_abandoned(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files of `atomic_write` in `folder` to which nobody has written for an hour: killed
    processes left them."""
    for path in Path(folder).glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if re.fullmatch(r"\..+\.[0-9a-f]{12}\.tmp", path.name) and time.time() - path.stat().st_mtime > 3600:
                path.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path`, atomically, in UTF-8."""
    with atomic_write(path) as stream:
        stream.write(text)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The JSON value in `path`. Raises EspretError naming file and line if it is missing or malformed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EspretError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EspretError(f"{path}:{getattr(error, 'lineno', 1)}: not JSON: {error}") from None


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Any]) -> None:
    """Write one JSON value a line to `path`, atomically."""
    with atomic_write(path) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_jsonl(path: str | os.PathLike[str]) -> list[Any]:
    """The JSON values in `path`, one a line. Raises EspretError naming file and line of the first malformed one."""
    rows = []
    try:
        with open(path, "rb") as stream:  # not as text, in which a decoding error would name no line
            for number, line in enumerate(stream, 1):
                try:
                    rows.append(json.loads(line.decode("utf-8")))
                except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number or nesting out of bounds
                    reason = getattr(error, "msg", error)
                    found = line.strip()[:80].decode("utf-8", "backslashreplace")
                    raise EspretError(
                        f"{path}:{number}: not JSON: {reason}: {found!r}; expected a value a line"
                    ) from None
    except FileNotFoundError:
        raise EspretError(f"{path}: no such file") from None
    return rows


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's content, read in blocks."""
    import hashlib  # loading OpenSSL takes milliseconds, and the job runners hash nothing

    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text in UTF-8."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8")).hexdigest()
