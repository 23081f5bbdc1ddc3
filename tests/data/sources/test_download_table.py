"""Download tables: strict reading, and a user's rows in place of the official ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from espret.data.sources.sources import TABLES
from espret.data.sources.table import is_official, read_download_table, replacements
from espret.download import Remote
from espret.errors import EspretError

HEADER = "name\turl\tbytes\tdigest\n"
MD5 = "md5:" + "0a" * 16
ROW = f"v1/a b.zip\thttps://example.org/a%20b.zip?download=1\t12\t{MD5}\n"


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my 'table'.tsv"
    path.write_bytes(text.encode())
    return path


def test_what_a_table_says(tmp_path: Path) -> None:
    text = (
        f"\ufeff# where from\n{HEADER}{ROW}\n# more\n"
        + f"b\thttp://h/\t-\t{MD5.upper().replace('MD5', 'md5')}\n"
        + "c\t-\t-\t-\n"
    )
    url = "https://example.org/a%20b.zip?download=1"
    expected = {"v1/a b.zip": Remote(url, 12, MD5), "b": Remote("http://h/", None, MD5), "c": Remote("")}
    assert read_download_table(table(tmp_path, text)) == expected
    assert read_download_table(table(tmp_path, text.replace("\n", "\r\n"))) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "empty; expected the header 'name' 'url' 'bytes' 'digest', separated by tabs"),
        ("# only this\n", "empty"),
        ("name,url,bytes,digest\n", ":1: 'name,url,bytes,digest'; expected the header"),
        (f"{HEADER}a\thttp://h/\t-\n", ":2: 3 fields; expected 'name' 'url'"),
        (f"{HEADER}{ROW}#\n{ROW}", ":4: 'v1/a b.zip' again"),
        (f"{HEADER}a\tftp://h/\t-\t-\n", ":2: url 'ftp://h/'; expected http://"),
        (f"{HEADER}a\thttps:/h\t-\t-\n", ":2: url 'https:/h'"),
        (f"{HEADER}a\t\t-\t-\n", ":2: url ''"),
        (f"{HEADER}a\t-\t1e3\t-\n", ":2: bytes '1e3'; expected a whole number, or '-'"),
        (f"{HEADER}a\t-\t-1\t-\n", ":2: bytes '-1'"),
        (f"{HEADER}a\t-\t-\tmd5:12\n", ":2: digest 'md5:12'; expected md5:HEX, sha1:HEX or sha256:HEX, or '-'"),
        (f"{HEADER}a\t-\t-\tcrc32:{'0' * 8}\n", ":2: digest 'crc32:"),
        *(
            (f"{HEADER}{name}\t-\t-\t-\n", ":2: name ")
            for name in ("", "/a", "../a", "a/../b", "a/", "a//b", "./a", "a\0")
        ),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(EspretError, match=f"^{re.escape(str(path))}.*{re.escape(message)}"):
        read_download_table(path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="No such file.*; expected a download table"):
        read_download_table(tmp_path / "none")
    path = tmp_path / "latin"
    path.write_bytes(b"\xe9\n")
    with pytest.raises(EspretError, match="can't decode.*; expected a download table in UTF-8"):
        read_download_table(path)


def test_own_rows_replace_known_ones(tmp_path: Path) -> None:
    (tmp_path / "other.tsv").write_text(f"{HEADER}z.zip\t-\t-\t-\n")
    official, row = {"a.zip": Remote("u"), "b.zip": Remote("v")}, Remote("w")
    assert replacements({"b.zip": row, "z.zip": row}, official, "mine", tmp_path) == {"b.zip": row}
    with pytest.raises(EspretError, match=r"mine: no corpus has a file 'bb.zip'; did you mean 'b.zip'\?"):
        replacements({"bb.zip": row}, official, "mine", tmp_path)


def test_which_rows_are_official() -> None:
    official = Remote("https://o/x", 3, MD5)
    assert is_official(Remote("https://mirror/x", None, MD5), official)
    assert not is_official(Remote("https://o/x", 3, "md5:" + "b" * 32), official)
    assert not is_official(Remote("https://o/x", 3), official)  # not verified, so not known to be it
    unknown = Remote("https://o/x")
    assert is_official(Remote("https://o/x", 3, MD5), unknown)  # pinned by the user
    assert not is_official(Remote("https://mirror/x"), unknown)


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.tsv")), ids=lambda path: path.stem)
def test_the_tables_of_the_corpora(path: Path) -> None:
    """They read, and a file that several versions share has one size."""
    rows = list(read_download_table(path).values())
    sizes: dict[str, set[int]] = {}
    for row in rows:
        if row.digest and row.size is not None:
            sizes.setdefault(row.digest, set()).add(row.size)
    assert rows and all(len(found) == 1 for found in sizes.values())
