"""Kaldi tables: text files of `key value` lines, sorted by key in the C locale. What the values mean is not known here.

Reading is strict (sorted, unique keys, LF ends, UTF-8, no empty value) because every later stage joins these files by
key. A blank or a tab, or several, separates key and value; the value is the rest of the line, so it may hold blanks.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from operator import ge
from pathlib import Path

from espret.errors import EspretError
from espret.files import atomic_write

SHOWN = 5  # how many offenders a message names

_LINE = re.compile(r"([^ \t]+)[ \t]+(.*[^ \t].*)", re.DOTALL)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Without Python's cyclic garbage collector: of a million small strings that stay it walks all again and again,
    which takes as long as reading them. Decorates functions too."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def read_table(path: str | os.PathLike[str]) -> dict[str, str]:
    """The rows of a table, in file order. Raises EspretError naming file, line, what was found and expected."""
    rows, problems = scan_table(path)
    if problems:
        raise EspretError("\n".join(problems))
    return rows


def write_table(path: str | os.PathLike[str], rows: Mapping[str, str]) -> None:
    """Write `rows` to `path`, sorted and atomically. Raises EspretError for a row that could not be read back."""
    with atomic_write(path) as stream:
        for key in sorted(rows):
            value = rows[key]
            if not key or any(c in " \t\n\r" for c in key):
                raise EspretError(f"{path}: key {key!r} is empty or has a blank; expected one word")
            if "\n" in value or "\r" in value or not value.strip(" \t") or value[0] in " \t":
                raise EspretError(f"{path}: value {value!r} of '{key}' is empty, starts with a blank or has a line end")
            stream.write(f"{key} {value}\n")


@collector_paused()
def scan_table(path: str | os.PathLike[str]) -> tuple[dict[str, str], list[str]]:
    """The rows of a table and all that is wrong with its form: one message a kind, with lines and a mending command."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return {}, [f"{path}: no such file"]
    except OSError as error:
        return {}, [f"{path}: cannot be read: {error.strerror}"]
    try:
        body = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = data[error.start : error.start + 4]
        return {}, [f"{path}:{line}: not UTF-8: found bytes {found!r}; mend: iconv -f LATIN1 -t UTF-8"]
    if not body:
        return {}, []
    rows = _read_plain(body)
    return (rows, []) if rows is not None else _read_careful(path, body)


def _read_plain(body: str) -> dict[str, str] | None:
    """The rows where every line is `key value` with one blank between, in order; else None.

    No loop in Python: this is what lets a quarter of a million captions be checked at the start of every stage.
    """
    if body[-1] != "\n" or "\r" in body or "\t" in body:
        return None
    lines = body[:-1].split("\n")
    keys, _, values = zip(*map(str.partition, lines, repeat(" ")))
    if not all(values) or any(map(str.startswith, values, repeat(" "))):  # no value, or two blanks before it
        return None
    if not keys[0] or unsorted(keys):  # an empty key elsewhere would be out of order
        return None
    return dict(zip(keys, values))


def unsorted(keys: Sequence[str]) -> bool:
    """Whether `keys` do not strictly increase. Python orders by code point, for UTF-8 the C locale's order of bytes."""
    return any(map(ge, keys, islice(keys, 1, None)))


def _read_careful(path: str | os.PathLike[str], body: str) -> tuple[dict[str, str], list[str]]:
    """Line by line, collecting the faults of each kind; a line with a fault of form is left out of the rows."""
    faults: dict[str, list[str]] = {}
    rows: dict[str, str] = {}
    last = ""
    lines = body.split("\n")
    if lines[-1]:
        faults["newline"] = [f"line {len(lines)} {lines[-1][:40]!r}"]
    else:
        lines.pop()
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r")
        if line != raw or "\r" in line:
            faults.setdefault("cr", []).append(f"line {number}")
        match = _LINE.fullmatch(line)
        if not match:
            kind = "blank" if not line.strip(" \t") or line[0] in " \t" else "value"
            faults.setdefault(kind, []).append(f"line {number} {line[:40]!r}")
            continue
        key = match[1]
        if key in rows:
            faults.setdefault("twice", []).append(f"line {number} '{key}'")
        elif key < last:
            faults.setdefault("order", []).append(f"line {number} '{key}' after '{last}'")
        rows[key] = match[2]
        last = key
    return rows, [_describe(path, kind, found) for kind, found in faults.items()]


_KINDS = {  # kind: (what is wrong, what was expected and the command that mends it; {} is the file, quoted)
    "newline": ("no newline at the end of the file", "mend: echo >> {}"),
    "cr": ("carriage returns (CRLF line ends)", "expected LF; mend: sed -i 's/\\r//g' {}"),
    "blank": (
        "empty line, or line that starts with a blank",
        "expected 'key value'; mend: sed -i 's/^[ \\t]*//; /^$/d' {}",
    ),
    "value": ("key without a value", "expected 'key value'; mend: complete or delete these lines in {}"),
    "twice": ("key already seen", "expected unique keys; mend: delete these lines in {}"),
    "order": ("not sorted in the C locale", "mend: LC_ALL=C sort -o {0} {0}"),
}


def _describe(path: str | os.PathLike[str], kind: str, found: list[str]) -> str:
    wrong, mend = _KINDS[kind]
    quoted = shlex.quote(os.fspath(path))
    first = re.match(r"line (\d+)", found[0])
    where = f"{path}:{first[1]}" if first else f"{path}"
    return f"{where}: {wrong}: {some(found)}; {mend.format(quoted)}"


def some(found: Iterable[str], total: int | None = None) -> str:
    """The first few of `found`, and how many more there are."""
    listed = list(found)
    more = (len(listed) if total is None else total) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def is_utf8(text: str | bytes) -> bool:
    """Whether bytes are UTF-8, or a string can be written as such (it has no lone surrogates)."""
    try:
        if isinstance(text, str):
            text.encode("utf-8")
        else:
            text.decode("utf-8")
    except UnicodeError:
        return False
    return True


def list_sha256(ids: Iterable[str]) -> str:
    """Hex SHA-256 of the ids sorted in the C locale, one a line: what identifies a split's variant in the results."""
    return hashlib.sha256("".join(f"{i}\n" for i in sorted(ids)).encode("utf-8")).hexdigest()
