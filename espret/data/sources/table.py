"""Download tables: what a corpus' files are called, where they lie, how large they are and what they must hash to.

Each corpus has one, espret/data/corpora/<corpus>.tsv; a user's own replaces rows of it (`--sources`). What is done
with them is `espret.data.sources.sources`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from espret.download import Remote
from espret.errors import EspretError, nearest

HEADER = ("name", "url", "bytes", "digest")
UNKNOWN = "-"
DIGEST = re.compile(r"md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}")


def read_download_table(path: str | os.PathLike[str]) -> dict[str, Remote]:
    """The rows of a table by name, in order.

    Tab separated with the header `name url bytes digest`, `-` where one of the last three is unknown; empty lines and
    those that begin with `#` say nothing. A file without an address (url "") must be brought by the user. Raises
    EspretError naming file and line.
    """
    rows: dict[str, Remote] = {}
    header = True
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields, where = line.split("\t"), f"{path}:{number}"
        if header:
            if tuple(fields) != HEADER:
                raise EspretError(f"{where}: {line!r:.100}; expected the header {_quoted(HEADER)}, separated by tabs")
            header = False
            continue
        if len(fields) != len(HEADER):
            raise EspretError(f"{where}: {len(fields)} fields; expected {_quoted(HEADER)}, separated by tabs")
        name = _name(fields[0], where)
        if name in rows:
            raise EspretError(f"{where}: '{name}' again; expected each name once")
        rows[name] = Remote(_url(fields[1], where), _size(fields[2], where), _digest(fields[3], where))
    if header:
        raise EspretError(f"{path}: empty; expected the header {_quoted(HEADER)}, separated by tabs")
    return rows


def replacements(
    own: dict[str, Remote], official: dict[str, Remote], path: str | os.PathLike[str], corpora: Path
) -> dict[str, Remote]:
    """The rows of a user's table that replace some of `official`; those of other corpora are left out.

    Raises EspretError for a name that none of the tables in the folder `corpora` knows.
    """
    if set(own) - set(official):
        known = set(official).union(*(read_download_table(table) for table in sorted(corpora.glob("*.tsv"))))
        for name in own:
            if name not in known:
                raise EspretError(f"{path}: no corpus has a file '{name}'{nearest(name, known)}")
    return {name: row for name, row in own.items() if name in official}


def is_official(row: Remote, official: Remote) -> bool:
    """Whether a row that replaces the official one is of the same file, as far as the tables tell."""
    if official.digest is None:
        return row.url == official.url
    return row.digest == official.digest


def _text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EspretError(f"{path}: {reason}; expected a download table in UTF-8") from None


def _quoted(words: tuple[str, ...]) -> str:
    return " ".join(f"'{word}'" for word in words)


def _name(text: str, where: str) -> str:
    parts = PurePosixPath(text).parts
    if not text or text != "/".join(parts) or text.startswith("/") or ".." in parts or "\0" in text:
        raise EspretError(f"{where}: name {text!r}; expected a file name such as 'a.zip' or 'v2/a.zip'")
    return text


def _url(text: str, where: str) -> str:
    if text != UNKNOWN and not re.match(r"https?://[^/\s]+/", text):
        raise EspretError(f"{where}: url {text!r}; expected http://... or https://..., or '{UNKNOWN}'")
    return "" if text == UNKNOWN else text


def _size(text: str, where: str) -> int | None:
    if text != UNKNOWN and not re.fullmatch("[0-9]{1,18}", text):
        raise EspretError(f"{where}: bytes {text!r}; expected a whole number, or '{UNKNOWN}'")
    return None if text == UNKNOWN else int(text)


def _digest(text: str, where: str) -> str | None:
    if text != UNKNOWN and not DIGEST.fullmatch(text.lower()):
        raise EspretError(f"{where}: digest {text!r}; expected md5:HEX, sha1:HEX or sha256:HEX, or '{UNKNOWN}'")
    return None if text == UNKNOWN else text.lower()
