"""Whether a file is the one that the download table means; remembered, so that gigabytes are hashed once."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from hashlib import new as new_hash
from pathlib import Path
from typing import Any

from espret.download import Remote, difference, file_digest
from espret.errors import EspretError
from espret.files import read_json, write_json

TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl")  # what editors and version control give other line ends


class Verified:
    """The files verified so far, kept in the JSON file `record`: path -> size, time of change, digest.

    `rows` are the rows of the download table by name.
    """

    def __init__(self, record: Path, rows: Mapping[str, Remote]) -> None:
        self._record, self._rows = record, rows

    def check(self, path: Path, name: str) -> None:
        """Raise EspretError unless the file at `path` is the one called `name`.

        The error tells what is known of the wrong file and where to put it; the file itself is left alone. A text whose
        line ends alone differ is accepted, with a message.
        """
        remote = self._rows[name]
        try:
            stat = path.stat()  # before reading: what changes meanwhile is verified again
            if remote.digest is not None and self._read().get(_key(path)) == _entry(stat, remote.digest):
                return
            self._compare(path, name, remote)
        except OSError as error:
            raise EspretError(f"{path}: {error.strerror}; expected to read {name} from it") from None
        self._remember(path, stat, remote)

    def add(self, path: Path, name: str) -> None:
        """Remember a file that was verified while it was fetched."""
        self._remember(path, path.stat(), self._rows[name])

    def _remember(self, path: Path, stat: os.stat_result, remote: Remote) -> None:
        if remote.digest is not None:
            write_json(self._record, {**self._read(), _key(path): _entry(stat, remote.digest)})

    def _read(self) -> dict[str, Any]:
        """The record; empty when there is none or it is damaged, for then all is verified anew."""
        try:
            record = read_json(self._record)
        except EspretError:
            return {}
        return record if isinstance(record, dict) else {}

    def _compare(self, path: Path, name: str, remote: Remote) -> None:
        if not difference(path, remote):
            return
        if ends := _other_line_ends(path, remote):
            print(f"{path}: has other line ends than {name}, and is it with {ends}: accepted", file=sys.stderr)
            return
        kinds = {row.digest.partition(":")[0] for row in self._rows.values() if row.digest}
        found = {f"{kind}:{file_digest(path, kind)}" for kind in kinds}
        kind = (remote.digest or "").partition(":")[0]
        is_now = [one for one in found if one.startswith(f"{kind}:")] if kind else []
        other = next((other for other, row in self._rows.items() if row.digest in found), None)
        raise EspretError(
            f"{path}: not the file {name}: {_described(path.stat().st_size, *is_now)}; "
            f"expected {_described(remote.size, remote.digest)}; {_cause(path, remote, other)}; "
            f"mend: {_mend(path, name, other)}"
        )


def _key(path: Path) -> str:
    return os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")


def _entry(stat: os.stat_result, digest: str) -> dict[str, Any]:
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "digest": digest}


def _other_line_ends(path: Path, remote: Remote) -> str:
    """`LF` or `CRLF` when a text becomes the wanted one by these line ends; else empty."""
    if path.suffix.lower() not in TEXTS or remote.digest is None:
        return ""
    kind, _, wanted = remote.digest.partition(":")
    unix = path.read_bytes().replace(b"\r\n", b"\n")
    for ends, content in (("LF", unix), ("CRLF", unix.replace(b"\n", b"\r\n"))):
        if new_hash(kind, content).hexdigest() == wanted:
            return ends
    return ""


def _described(size: int | None, digest: str | None = None) -> str:
    return ", ".join([f"{size} bytes"] * (size is not None) + [digest] * (digest is not None))  # type: ignore[list-item]


def _cause(path: Path, remote: Remote, other: str | None) -> str:
    """What the wrong file probably is."""
    if other is not None:
        return f"it is {other}"
    with open(path, "rb") as stream:
        start = stream.read(1000).removeprefix(b"\xef\xbb\xbf").lstrip()
    size = path.stat().st_size
    if not size:
        return "it is empty"
    if start.startswith(b"<"):
        return "it is a web page, as a browser saves one in place of a file that cannot be had"
    if remote.size is not None and size < remote.size:
        return "it is cut off, as a download that ended early"
    return "it is damaged, changed, or of another version"


def _mend(path: Path, name: str, other: str | None) -> str:
    if other is None:
        away = f"mv -- {shlex.quote(str(path))} {shlex.quote(f'{path}.wrong')}"
        return f"{away}; then run again, or put the right file there (a file of your own: give its row with --sources)"
    return f"put {name} there, or move the file away, or ask for the variant that {other} belongs to (--variant)"
