"""METEOR's paraphrase table as an index on disk, of which a scoring reads only what its captions can use.

The table (62 MB compressed, 5.3 million entries, seconds to load) is turned once into a trie of its phrases, kept as
arrays that numpy maps into memory. How paraphrases become matches is in espret.scoring.meteor.alignment.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import sys
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from espret import installation
from espret.errors import EspretError
from espret.files import PARTIAL

LAYOUT = 1  # of the files below
WORD_BITS = 24
BLOCK = 1 << 24  # bytes of the table that are read at once
FILES = ("words.txt", "keys.npy", "first.npy", "targets.npy")
Array = npt.NDArray[np.int64]
Occurrence = tuple[int, int, int]  # first word, number of words, phrase


@dataclass(frozen=True)
class Index:
    """A trie of phrases. Phrase w is the word w; longer ones follow, sorted by `keys` (phrase without its last word
    `<< WORD_BITS` | last word). Entries of phrase p are targets[first[p]:first[p + 1]], in the order of the table.
    """

    words: dict[str, int]
    keys: npt.NDArray[np.uint64]
    first: npt.NDArray[np.uint32]
    targets: npt.NDArray[np.uint32]

    def occurrences(self, captions: Sequence[Sequence[str]]) -> tuple[Array, Array]:
        """All table phrases in captions of words: [n, 3] occurrences and the caption [n] of each, both ordered by
        caption, first word, number of words."""
        width = max(map(len, captions), default=0) + 1
        rows = np.repeat(np.arange(len(captions)), list(map(len, captions)))
        lengths = np.array([len(caption) for caption in captions], dtype=np.int64)
        columns = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        get = self.words.get
        ids = np.array([get(word, -1) for caption in captions for word in caption], dtype=np.int64)
        last = np.append(ids, -1)  # the word after the end
        last_row = np.append(rows, -1)
        at = np.flatnonzero(ids >= 0)
        phrases, found, size = ids[at], [], 1
        while len(at):
            found.append((at, np.full(len(at), size), phrases))
            following = np.minimum(at + size, len(ids))
            goes_on = (last_row[following] == rows[at]) & (last[following] >= 0)
            at, following = at[goes_on], following[goes_on]
            wanted = (phrases[goes_on].astype(np.uint64) << np.uint64(WORD_BITS)) | last[following].astype(np.uint64)
            place = np.searchsorted(self.keys, wanted)
            known = self.keys[np.minimum(place, len(self.keys) - 1)] == wanted if len(self.keys) else place < 0
            at, phrases, size = at[known], place[known] + len(self.words), size + 1
        if not found:
            return np.empty((0, 3), dtype=np.int64), np.empty(0, dtype=np.int64)
        where, sizes, nodes = (np.concatenate(parts) for parts in zip(*found))
        order = np.argsort(where * width + sizes, kind="stable")
        where = where[order]
        return np.stack([columns[where], sizes[order], nodes[order]], axis=1), rows[where]

    def entries(self, phrases: Array) -> dict[int, list[int]]:
        """The paraphrases of each phrase in the order of the table, those among `phrases` (sorted, unique) only.

        METEOR asks the table for the phrases of one caption and compares what it gives with the words of the other:
        entries of which a side occurs in no caption never match, and what is left keeps its order. So an alignment is
        the same with these entries as with all.
        """
        there = np.zeros(len(self.first), dtype=bool)
        there[phrases] = True
        begin, end = self.first[phrases].astype(np.int64), self.first[phrases + 1].astype(np.int64)
        sizes = end - begin
        place = np.arange(sizes.sum()) + np.repeat(begin - (np.cumsum(sizes) - sizes), sizes)
        targets = self.targets[place]
        kept = there[targets]
        kept_of: dict[int, list[int]] = {}
        for source, target in zip(np.repeat(phrases, sizes)[kept].tolist(), targets[kept].tolist()):
            kept_of.setdefault(source, []).append(target)
        return kept_of


def home() -> Path:
    """The folder of the indexes: $ESPRET_METEOR, else tools/meteor of the checkout, else the user's data folder."""
    return installation.home("meteor", "ESPRET_METEOR")


def open_index(table: Path) -> Index | None:
    """The index of a table, built if there is none; None where it can be neither read nor kept.

    METEOR's takes 15 s to build, with 900 MB of memory, and 60 MB of disk.
    Any number of processes may come at once: each index is moved into place whole, and the first one stays.
    """
    place = home() / _name(table)
    try:
        if not place.is_dir():
            _keep(table, place)
        try:
            return _load(place)
        except (ValueError, EOFError, FileNotFoundError):  # damaged
            shutil.rmtree(place)
            _keep(table, place)
            return _load(place)
    except OSError:  # a read-only or full disk: the table itself still serves
        return None


def _load(place: Path) -> Index:
    keys, first, targets = (np.asarray(np.load(place / name, mmap_mode="r")) for name in FILES[1:])
    words = (place / FILES[0]).read_text(encoding="utf-8").split("\n")
    if len(words) + len(keys) + 1 != len(first):
        raise ValueError(f"{place}: {len(words)} words and {len(keys)} longer phrases, but {len(first)} places")
    return Index(dict(zip(words, range(len(words)))), keys, first, targets)


def _name(table: Path) -> str:
    """What identifies the table's content: its size, and the checksum and length that gzip keeps at a file's end."""
    with table.open("rb") as stream:
        stream.seek(-8, os.SEEK_END)
        checksum, length = struct.unpack("<II", stream.read())
    return f"paraphrases-{checksum:08x}-{length}-{table.stat().st_size}-v{LAYOUT}"


def _keep(table: Path, place: Path) -> None:
    print(f"METEOR: making an index of its paraphrases (once, about 15 s) in {place}", file=sys.stderr, flush=True)
    partial = place.with_name(f"{place.name}.{os.urandom(6).hex()}{PARTIAL}")
    partial.mkdir(parents=True)
    try:
        words, *arrays = build(table)
        (partial / FILES[0]).write_text("\n".join(words), encoding="utf-8")
        for name, values in zip(FILES[1:], arrays):
            np.save(partial / name, np.asarray(values))
        partial.rename(place)
    except OSError:
        if not place.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def build(table: Path) -> tuple[list[str], npt.NDArray[np.uint64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Words, keys, first and targets of an `Index`. Raises EspretError for a file that is no paraphrase table."""
    numbers: defaultdict[bytes, int] = defaultdict(count().__next__)
    sources, targets = array("I"), array("I")
    for lines in _blocks(table):
        sources.extend(map(numbers.__getitem__, lines[1::3]))
        targets.extend(map(numbers.__getitem__, lines[2::3]))
    words, keys, nodes = _trie(numbers)
    source, target = nodes[np.asarray(sources, dtype=np.int64)], nodes[np.asarray(targets, dtype=np.int64)]
    order = np.argsort(source, kind="stable")
    first = np.zeros(len(words) + len(keys) + 1, dtype=np.uint32)
    np.cumsum(np.bincount(source, minlength=len(first) - 1), out=first[1:])
    return words, keys, first, target[order].astype(np.uint32)


def _blocks(table: Path) -> Iterator[list[bytes]]:
    """The table's lines, three an entry (probability, phrase, paraphrase), many whole entries at a time."""
    left: list[bytes] = []
    try:
        with gzip.open(table) as stream:
            while block := stream.readlines(BLOCK):
                lines = [*left, *b"".join(block).split(b"\n")[:-1]]
                left = lines[len(lines) - len(lines) % 3 :]
                yield lines[: len(lines) - len(left)]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EspretError(f"{table}: {error}; expected METEOR's paraphrase table, gzipped") from None
    if left:
        raise EspretError(f"{table}: ends within an entry of three lines (probability, phrase, paraphrase)")


def _trie(phrases: Iterable[bytes]) -> tuple[list[str], npt.NDArray[np.uint64], Array]:
    """Words, keys of the longer phrases and all that begin them, and the number of each of `phrases` (no empty one)."""
    ids: defaultdict[bytes, int] = defaultdict(count().__next__)
    flat, sizes = array("I"), array("I")
    for phrase in phrases:
        words = phrase.split()
        sizes.append(len(words))
        flat.extend(map(ids.__getitem__, words))
    lengths = np.asarray(sizes)
    grid = np.zeros((len(lengths), lengths.max(initial=1)), dtype=np.uint32)
    grid[np.arange(grid.shape[1]) < lengths[:, None]] = flat
    nodes, keys, end = grid[:, 0].astype(np.int64), [], len(ids)
    for column in range(1, grid.shape[1]):
        longer = np.flatnonzero(lengths > column)
        level = (nodes[longer].astype(np.uint64) << np.uint64(WORD_BITS)) | grid[longer, column]
        distinct, place = np.unique(level, return_inverse=True)
        nodes[longer] = place + end
        keys.append(distinct)
        end += len(distinct)
    return [word.decode() for word in ids], np.concatenate(keys) if keys else np.empty(0, dtype=np.uint64), nodes
