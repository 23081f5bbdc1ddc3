"""Zips that are split into parts (X.z01, X.z02, ..., X.zip) as one stream that zipfile can read, without a second copy.

In a split zip offsets count from the beginning of a part. The stream is the parts one after the other up to the list of
members, then the same list, made in memory, with offsets from the beginning of the stream, in the zip64 form.
"""

from __future__ import annotations

import io
import re
import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, NamedTuple
from zipfile import BadZipFile

from espret.errors import EspretError

END = struct.Struct("<4s4H2LH")  # the end record: where the list of members is
END64 = struct.Struct("<4sQ2H2L4Q")  # its zip64 form
LOCATOR = struct.Struct("<4sLQL")  # where that is
ENTRY = struct.Struct("<4s6H3L5H2L")  # a member in the list
END_MARK, END64_MARK, LOCATOR_MARK, ENTRY_MARK = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # in place of a number that stands in the zip64 form
COMMENT_LIMIT = 0xFFFF
PARTS_LIMIT = 10_000
ZIP64 = 1  # the id of the extra field of a member that has its large numbers
PART = re.compile(r"\.z(\d\d+)$", re.IGNORECASE)


class _List(NamedTuple):
    """The list of members: the part that it begins in, the place there, its bytes and members."""

    part: int
    offset: int
    size: int
    entries: int


def open_zip(paths: Sequence[Path]) -> IO[bytes]:
    """Open a zip for zipfile: one file, or all parts of a split one in any order.

    Raises EspretError when parts are missing or too many, BadZipFile for what is no zip or damaged.
    """
    last = next((path for path in paths if not PART.search(path.name)), None)
    if last is None:
        expected = f"expected {paths[0].stem}.zip with it"
        raise EspretError(f"{paths[0]}: a part of a split zip; {expected}; mend: fetch that too")
    with open(last, "rb") as stream:
        end_at, count = find_end(stream)
    if count == 1 and len(paths) == 1:
        return open(last, "rb")
    parts = _Parts(_in_order(paths, last, count))
    try:
        found = _find_list(parts, parts.starts[-1] + end_at)
        start = parts.starts[found.part] + found.offset
        parts.replace_end(start, _with_offsets(parts.read_at(start, found.size), found.entries, parts.starts, start))
    except BaseException:
        parts.close()
        raise
    return io.BufferedReader(parts, 1 << 20)


def find_end(stream: IO[bytes]) -> tuple[int, int]:
    """Where the end record is in the last part, and how many parts there are."""
    size = stream.seek(0, io.SEEK_END)
    start = stream.seek(max(0, size - END.size - LOCATOR.size - COMMENT_LIMIT))
    tail = stream.read()
    at = tail.rfind(END_MARK, 0, max(0, len(tail) - END.size + len(END_MARK)))
    if at < 0:
        raise BadZipFile("the record that ends a zip file is not there")
    count = END.unpack_from(tail, at)[1] + 1
    if count == FULL16 + 1 and tail[max(0, at - LOCATOR.size) :].startswith(LOCATOR_MARK):
        count = LOCATOR.unpack_from(tail, at - LOCATOR.size)[3]
    if count > PARTS_LIMIT:
        raise BadZipFile(f"split into {count} parts")
    return start + at, count


def _in_order(paths: Sequence[Path], last: Path, count: int) -> list[Path]:
    """The parts of a zip split into `count`, the last one, X.zip, at the end."""
    numbers = {int(match.group(1)): path for path in paths if (match := PART.search(path.name))}
    wanted = range(1, count)
    if numbers.keys() != set(wanted) or len(paths) != count:
        names = [f"{last.stem}.z{number:02d}" for number in wanted]
        missing = [name for number, name in zip(wanted, names) if number not in numbers]
        expected = f"expected {count} parts, {', '.join([*_short(names), last.name])}"
        found = f"found {', '.join(_short([path.name for path in paths]))}"
        lack = f"missing {', '.join(_short(missing))}; " if missing else ""
        raise EspretError(f"{last}: {expected}; {lack}{found}; mend: fetch all parts, of one version, anew if need be")
    return [*(numbers[number] for number in wanted), last]


def _short(names: list[str]) -> list[str]:
    return names if len(names) <= 6 else [*names[:3], "...", *names[-2:]]


def _find_list(parts: _Parts, end_at: int) -> _List:
    """Where the list of members is, by the end record at `end_at` of all parts and its zip64 form."""
    *_, part, _, entries, size, offset, _ = END.unpack(parts.read_at(end_at, END.size))
    locator = parts.read_at(max(0, end_at - LOCATOR.size), LOCATOR.size)
    if locator.startswith(LOCATOR_MARK):
        _, part, offset, _ = LOCATOR.unpack(locator)
        record = parts.read_at(parts.start(part) + offset, END64.size)
        if not record.startswith(END64_MARK):
            raise BadZipFile("the zip64 record that ends the file is not there")
        *_, part, _, entries, size, offset = END64.unpack(record)
    parts.start(part)
    return _List(part, offset, size, entries)


def _with_offsets(listed: bytes, count: int, starts: Sequence[int], at: int) -> bytes:
    """The list of `count` members with offsets from the beginning of all parts, and the records that end a zip; all of
    it to lie at `at`."""
    made, place = bytearray(), 0
    for _ in range(count):
        if listed[place : place + 4] != ENTRY_MARK:
            raise BadZipFile("the list of members is damaged")
        *head, csize, size, name, extra, comment, part, inner, outer, offset = ENTRY.unpack_from(listed, place)
        rest = place + ENTRY.size
        place = rest + name + extra + comment
        fields, large = _split_extra(listed[rest + name : rest + name + extra])
        numbers = _large(large, [(size, FULL32), (csize, FULL32), (offset, FULL32), (part, FULL16)])
        if numbers[3] >= len(starts):
            raise BadZipFile(f"a member begins in part {numbers[3] + 1} of {len(starts)}")
        numbers[2] += starts[numbers[3]]
        fields = struct.pack("<2H3Q", ZIP64, 24, *numbers[:3]) + fields
        made += ENTRY.pack(*head, FULL32, FULL32, name, len(fields), comment, 0, inner, outer, FULL32)
        made += listed[rest : rest + name] + fields + listed[rest + name + extra : place]
    end = at + len(made)
    made += END64.pack(END64_MARK, END64.size - 12, 45, 45, 0, 0, count, count, len(made), at)
    made += LOCATOR.pack(LOCATOR_MARK, 0, end, 1)
    made += END.pack(END_MARK, 0, 0, FULL16, FULL16, FULL32, FULL32, 0)
    return bytes(made)


def _split_extra(extra: bytes) -> tuple[bytes, bytes]:
    """The extra fields of a member without that of zip64, and the content of that."""
    others, large, place = b"", b"", 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        field = extra[place : place + 4 + length]
        others, large = (others, field[4:]) if kind == ZIP64 else (others + field, large)
        place += 4 + length
    return others, large


def _large(field: bytes, numbers: Sequence[tuple[int, int]]) -> list[int]:
    """Numbers, each with what stands for "see the zip64 field", where they follow each other: 8 bytes, a part 4."""
    found, place = [], 0
    for number, full in numbers:
        if number == full:
            form = "<Q" if full == FULL32 else "<L"
            (number,) = struct.unpack_from(form, field, place)
            place += struct.calcsize(form)
        found.append(number)
    return found


class _Parts(io.RawIOBase):
    """Files one after the other; the end may be replaced by bytes in memory. `starts` are where they begin."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._streams: list[io.FileIO | io.BytesIO] = [io.FileIO(path) for path in paths]
        sizes = [path.stat().st_size for path in paths]
        self.starts = [0, *accumulate(sizes[:-1])]
        self._begins = list(self.starts)
        self._size, self._at = sum(sizes), 0

    def start(self, part: int) -> int:
        """Where a part begins. Raises BadZipFile when there is no such part."""
        if part >= len(self.starts):
            raise BadZipFile(f"it points to part {part + 1} of {len(self.starts)}")
        return self.starts[part]

    def read_at(self, at: int, size: int) -> bytes:
        """That many bytes. Raises BadZipFile when there are fewer."""
        self.seek(at)
        if size > self._size - at:
            raise BadZipFile("it points beyond its end")
        data = bytearray()
        while len(data) < size:
            if not (block := self.read(size - len(data))):  # to the end of a part at most
                raise BadZipFile("a part became shorter")
            data += block
        return bytes(data)

    def replace_end(self, at: int, end: bytes) -> None:
        """From `at` on, the bytes are `end`."""
        keep = bisect_right(self._begins, at - 1)
        for stream in self._streams[keep:]:
            stream.close()
        self._streams, self._begins = [*self._streams[:keep], io.BytesIO(end)], [*self._begins[:keep], at]
        self._size = at + len(end)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._at >= self._size:
            return 0
        index = bisect_right(self._begins, self._at) - 1
        until = self._begins[index + 1] if index + 1 < len(self._begins) else self._size
        stream = self._streams[index]
        stream.seek(self._at - self._begins[index])
        data = stream.read(min(len(buffer), until - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        super().close()
