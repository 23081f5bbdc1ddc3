"""The files a corpus is made of: taken from the user's archives or downloaded, verified once, extracted once.

Which files there are is said by the corpus' download table (`table`); what they mean by its module in
espret.data.corpora. All that is written lies in <downloads>/<corpus>: the files by their names, those of a user's own
table below own/, the folders that archives were extracted to, verified.json and .extracted/.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from espret.data.corpus import Asked
from espret.data.sources.extracted import Extracted
from espret.data.sources.table import is_official, read_download_table, replacements
from espret.data.sources.verified import Verified
from espret.disk import SPARE, Unwritable, amount, free_bytes, writing
from espret.download import Remote, fetch, part_path
from espret.errors import EspretError, nearest

TABLES = Path(__file__).parents[1] / "corpora"


class Sources:
    """The files of `corpus` as a user asked for them; `table` is its download table, if not the one in TABLES."""

    def __init__(self, corpus: str, asked: Asked, table: Path | None = None) -> None:
        official = read_download_table(table or TABLES / f"{corpus}.tsv")
        own: dict[str, Remote] = {}
        if asked.sources is not None:
            own = replacements(read_download_table(asked.sources), official, asked.sources, TABLES)
        if asked.archives is not None and not asked.archives.is_dir():
            raise EspretError(f"{asked.archives}: no such folder; expected one with the files of {corpus} (--archives)")
        self.corpus, self.base = corpus, asked.downloads / corpus
        self._archives = asked.archive_folders(corpus)
        self._rows = {**official, **own}
        self._own = {name for name, row in own.items() if not is_official(row, official[name])}
        self._verified = Verified(self.base / "verified.json", self._rows)
        self._extracted = Extracted(self.base)

    def get(self, name: str) -> Path:
        """The verified file called `name`: from the archives, else from the downloads, else downloaded to them.

        Raises EspretError for a file that is there but is another (it is left alone), and for one that cannot be had.
        """
        row, there = self._row(name), self._find(name)
        with writing(self.base, row.size):
            if there is not None:
                self._verified.check(there, name)
                return there
            path = self._download_path(name)
            self._fetch(name, row, path)
            self._verified.add(path, name)
        return path

    def has(self, name: str) -> bool:
        """Whether the file lies in the archives or the downloads, unverified."""
        return self._find(name) is not None

    def own(self, names: Iterable[str]) -> bool:
        """Whether any of these files is the user's own: one whose row was replaced by that of another file."""
        return any(name in self._own for name in names)

    def folder(self, name: str | Sequence[str], into: str) -> Path:
        """The folder <downloads>/<corpus>/<into> with all that the archive `name` holds (several names: the parts of
        one split zip, in the order that `espret.data.archives.extract` expects).

        Extracted once, and anew when the archive is another one; after that the archive is needed no more.
        """
        names = [name] if isinstance(name, str) else list(name)
        if not self._extracted.holds(into, self._identities(names)):
            paths = [self.get(one) for one in names]
            with writing(self.base):
                self._extracted.once(into, self._identities(names), paths)
        return self._extracted.folder(into)

    def announce(self, names: Iterable[str]) -> None:
        """Say on stderr which of these files are to be downloaded. Raises EspretError when the disk cannot hold them.

        Files that are there, and archives that were extracted, are not named.
        """
        done = {name for archives in self._extracted.all_of() for name in archives}
        rows = {name: self._row(name) for name in names if not (self.has(name) or name in done)}
        rows = {name: row for name, row in rows.items() if row.url}
        if not rows:
            return
        sizes = {name: row.size - self._begun(name) for name, row in rows.items() if row.size is not None}
        total, unknown = sum(sizes.values()), len(rows) - len(sizes)
        rest = f" and {unknown} of unknown size" if unknown else ""
        self._say(f"files to download to {self.base}: {len(rows)}, {amount(total)}{rest}")
        for name, row in rows.items():
            self._say(f"  {name}, {amount(row.size) if row.size is not None else 'size unknown'}, {row.url}")
        free = free_bytes(self.base)
        if total + SPARE > free:
            raise EspretError(
                f"{self.base}: {amount(free)} free; expected {amount(total + SPARE)} for the files of "
                f"{self.corpus}; mend: make room, or take a folder on another disk (--downloads)"
            )

    def _row(self, name: str) -> Remote:
        if name not in self._rows:
            raise EspretError(f"the download table of {self.corpus} has no '{name}'{nearest(name, self._rows)}")
        return self._rows[name]

    def _find(self, name: str) -> Path | None:
        digest = self._row(name).digest
        # Versions of a corpus share files: what is there for one serves the others.
        twins = [other for other, row in self._rows.items() if digest and row.digest == digest and other != name]
        names = [name, *twins]
        archives = [path for one in names for path in self._archive_paths(one)]
        downloads = [self._download_path(one) for one in names]
        return next((path for path in [*archives, *downloads] if path.is_file()), None)

    def _archive_paths(self, name: str) -> list[Path]:
        """Where in the user's folder the file may lie: by its name, or by the last part of it."""
        row, last = self._row(name), Path(name).name
        alike = sum(Path(other).name == last for other in self._rows)
        # Of several versions with one file name, one that nothing tells apart must lie in the folder of its version.
        certain = alike == 1 or row.digest is not None or row.size is not None
        return [folder / place for folder in self._archives for place in [name] + [last] * (certain and last != name)]

    def _download_path(self, name: str) -> Path:
        return self.base / "own" / name if name in self._own else self.base / name

    def _begun(self, name: str) -> int:
        """How many bytes of a file an earlier download left."""
        part = part_path(self._download_path(name))
        return part.stat().st_size if part.exists() else 0

    def _fetch(self, name: str, row: Remote, path: Path) -> None:
        places = " or ".join(str(place) for place in self._archive_paths(name))
        mend = f"mend: put the file there as {places}" if places else "mend: name a folder that has it with --archives"
        if not row.url:
            raise EspretError(f"{path}: no such file, and {name} of {self.corpus} has no public address; {mend}")
        try:
            fetch(row, path, say=self._say)
        except Unwritable:
            raise
        except EspretError as error:
            missing = f"; nor is there {places}" if places else ""
            raise type(error)(f"{error}{missing}; {mend}, or run again to go on", error.status) from None

    def _identities(self, names: Sequence[str]) -> dict[str, str]:
        """What tells of each archive whether it is the one that was extracted: its digest, else its size."""
        return {name: self._row(name).digest or self._size(name) for name in names}

    def _size(self, name: str) -> str:
        there = self._find(name)
        size = self._row(name).size if there is None else there.stat().st_size
        return "" if size is None else f"bytes:{size}"

    def _say(self, text: str) -> None:
        print(f"{self.corpus}: {text}", file=sys.stderr, flush=True)
