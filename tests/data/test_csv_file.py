"""Strict csv: every variant of encoding, line ends and separators is read, every fault named with its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from espret.data.csv_file import Row, read_csv
from espret.errors import EspretError

Read = Callable[..., list[Row]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """read(content, ...) -> the rows of a file with the columns name and text."""

    def read(content: str | bytes, **options: Any) -> list[Row]:
        path = tmp_path / "it's a; file.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_csv(path, ("name", "text"), **options))

    return read


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("last", [True, False])
def test_variants(read: Read, end: str, separator: str, encoding: str, last: bool) -> None:
    quoted = f'"said ""x""{separator} <y>"'
    lines = [("name", "text"), ("a", "\xe9t\xe9"), ("b", quoted), ("c", " ")]
    content = end.join(separator.join(fields) for fields in lines) + end * last
    rows = read(content.encode(encoding), delimiter=separator, encoding=encoding.removesuffix("-sig"))
    assert [row["name"] for row in rows] == ["a", "b", "c"]
    assert [row["text"] for row in rows] == ["\xe9t\xe9", f'said "x"{separator} <y>', " "]
    assert [(row.number, row.where.rpartition(":")[2]) for row in rows] == [(1, "2"), (2, "3"), (3, "4")]


def test_columns_in_any_order_and_others_on_demand(read: Read) -> None:
    assert read("text,name\nx,a\n") == [{"text": "x", "name": "a"}]
    assert read("more,text,name\n1,x,a\n", others=True) == [{"more": "1", "text": "x", "name": "a"}]
    assert read("name,text\n") == []


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("", 1, "found the header ''; expected the columns name, text"),
        ("nam,text\n", 1, "found the header 'nam,text'; expected the columns name, text; did you mean 'nam'?"),
        ("name,text,text\n", 1, "found the header 'name,text,text'"),
        ("name,text,more\n", 1, "found the header 'name,text,more'"),
        ("name;text\na;b\n", 1, "found the header 'name;text'"),
        ("name,text\na,b\nc\n", 3, "1 fields, 'c'; expected 2: name, text"),
        ("name,text\na,b,c\n", 2, "3 fields, 'a,b,c'; expected 2"),
        ("name,text\na,b\n\nc,d\n", 3, "0 fields, ''; expected 2"),
        ('name,text\na,"b\nc"\nd,e\n', 2, "a line end within 'text', 'b\\nc'; expected one line a row"),
        ('name,text\na,"b\rc"\n', 2, "a line end within 'text'"),
        ('name,text\na,b\nc,"d\n', 3, "not csv: unexpected end of data"),
        ('name,text\na,"b" c\n', 2, "not csv: ',' expected after '\"'"),
        ("name,text\na,b\n,c\n", 3, "'name' is empty"),
        ("name,text\na,b\nc,d\na,e\n", 4, "'name' 'a' again, first in line 2; expected it once"),
        (
            b"name,text\na,b\nc,\xe9t\xe9\n",
            3,
            "found bytes b'name,text\\na,b\\nc,\\xe9t\\xe9\\n'; expected text in UTF-8",
        ),
    ],
)
def test_faults_are_named_with_their_line(read: Read, content: str | bytes, line: int, message: str) -> None:
    with pytest.raises(EspretError, match=re.escape(f"it's a; file.csv:{line}: {message}")):
        read(content, key="name")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(EspretError, match=r"none\.csv: no such file"):
        list(read_csv(tmp_path / "none.csv", ["a"]))
