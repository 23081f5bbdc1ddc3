"""Strict reading of published csv files: every row whole, every error with file, line and the offending text.

Line ends may be LF or CRLF; a byte order mark is skipped. What the columns mean is the corpus' own.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from espret.errors import EspretError, nearest

SHOWN = 80  # characters of an offending text


class Row(dict[str, str]):
    """One row, column -> text, and where it stands: `where` is "file:line", `number` counts the data rows from 1."""

    where: str
    number: int


def read_csv(
    path: str | os.PathLike[str],
    columns: Sequence[str],
    *,
    encoding: str = "utf-8",
    delimiter: str = ",",
    others: bool = False,
    key: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of a csv file with a header line.

    The header must have `columns`, and no more unless `others`. Raises EspretError for bytes that are not `encoding`,
    an unknown header, a row with more or fewer fields than the header, a line end within a field, and, where `key`
    names a column, an empty or a repeated value there.
    """
    text = _decoded(path, encoding)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = _header(path, next(reader, []), columns, others)
        seen: dict[str, int] = {}
        line = reader.line_num + 1
        for number, fields in enumerate(reader, 1):
            where = f"{path}:{line}"
            _check(where, fields, header)
            row = Row(zip(header, fields))
            row.where, row.number = where, number
            if key is not None:
                _check_key(where, key, row[key], seen, line)
            yield row
            line = reader.line_num + 1
    except csv.Error as error:
        raise EspretError(f"{path}:{line}: not csv: {error}; expected fields separated by {delimiter!r}") from None


def _decoded(path: str | os.PathLike[str], encoding: str) -> str:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise EspretError(f"{path}: no such file") from None
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = data[max(0, error.start - 20) : error.start + 20]
        raise EspretError(f"{path}:{line}: found bytes {found!r}; expected text in {encoding.upper()}") from None


def _header(path: str | os.PathLike[str], header: list[str], columns: Sequence[str], others: bool) -> list[str]:
    missing = [column for column in columns if column not in header]
    more = [column for column in header if column not in columns]
    if missing or len(set(header)) < len(header) or (more and not others):
        wanted = f"expected the columns {', '.join(columns)}"
        hint = nearest(missing[0], more) if missing and more else ""
        raise EspretError(f"{path}:1: found the header {','.join(header)[:200]!r}; {wanted}{hint}")
    return header


def _check(where: str, fields: Sequence[str], header: Sequence[str]) -> None:
    if len(fields) != len(header):
        found = ",".join(fields)[:SHOWN]
        raise EspretError(f"{where}: {len(fields)} fields, {found!r}; expected {len(header)}: {', '.join(header)}")
    for column, value in zip(header, fields):
        if "\n" in value or "\r" in value:
            raise EspretError(f"{where}: a line end within '{column}', {value[:SHOWN]!r}; expected one line a row")


def _check_key(where: str, column: str, value: str, seen: dict[str, int], line: int) -> None:
    if not value:
        raise EspretError(f"{where}: '{column}' is empty")
    if value in seen:
        raise EspretError(f"{where}: '{column}' {value[:SHOWN]!r} again, first in line {seen[value]}; expected it once")
    seen[value] = line
