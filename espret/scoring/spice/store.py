"""The store of parses: the tuples of each caption and parser version, in one SQLite file that processes share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Tuples = list[list[str]]  # each of one (object), two (object, attribute) or three words (subject, object, relation)

WAIT = 60.0  # seconds for another process' transaction, which takes milliseconds
MANY = 500  # keys a query


class Store:
    """Caption -> tuples, for one parser version. Each `put` is one transaction: all of it is kept or nothing.

    A store that cannot be used (read-only, full, damaged) costs time, never a result: one warning, then captions are
    parsed anew. The rollback journal is used, not the write-ahead log, which does not work between the nodes of a
    cluster.
    """

    def __init__(self, path: Path, parser: str) -> None:
        self._path = path
        self._parser = parser
        self._database: sqlite3.Connection | None = None
        with self._guarded():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS parse (key BLOB PRIMARY KEY, tuples TEXT NOT NULL) WITHOUT ROWID"
            )

    def get(self, captions: Iterable[str]) -> dict[str, Tuples]:
        """The tuples of those captions that are stored."""
        keys = {self._key(caption): caption for caption in captions}
        found: dict[str, Tuples] = {}
        with self._guarded():
            for some in _chunks(list(keys)):
                marks = ",".join("?" * len(some))  # only question marks: values are bound
                query = f"SELECT key, tuples FROM parse WHERE key IN ({marks})"
                for key, text in self._open().execute(query, some):
                    found[keys[key]] = json.loads(text)
        return found

    def put(self, parsed: Mapping[str, Tuples]) -> None:
        """Keep the tuples of these captions; what another process has stored meanwhile is the same and stays."""
        rows = [(self._key(caption), json.dumps(tuples, ensure_ascii=False)) for caption, tuples in parsed.items()]
        with self._guarded():
            database = self._open()
            database.execute("BEGIN IMMEDIATE")
            try:
                database.executemany("INSERT OR IGNORE INTO parse VALUES (?, ?)", rows)
            except BaseException:
                if database.in_transaction:  # SQLite has ended it itself where the disk is full
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def close(self) -> None:
        """Close the file. The store cannot be used afterwards."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _key(self, caption: str) -> bytes:
        return hashlib.sha256(f"{self._parser}\n{caption}".encode("utf-8", "surrogatepass")).digest()

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise _Closed
        return self._database

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except _Closed:
            return
        except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: a row that is not JSON
            self.close()
            mend = f"make room or rights there, or if it is damaged: rm {shlex.quote(str(self._path))}"
            print(f"espret: warning: parses are not kept in {self._path}: {error}; mend: {mend}", file=sys.stderr)


class _Closed(Exception):
    """The store was given up earlier."""


def _chunks(keys: list[bytes]) -> Iterator[list[bytes]]:
    for first in range(0, len(keys), MANY):
        yield keys[first : first + MANY]
