"""The formats of archives behind one interface: first all members are listed, then all files are written.

This module reads zip and tar (plain, gzip, bzip2, xz) with the standard library; 7z lives in `seven_zip`, the joining
of split zips in `split_zip`. What may be extracted is decided in `extract`.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from espret.data.archives.split_zip import open_zip

SUFFIX = re.compile(r"\.(7z|zip|z\d\d+|tar|tar\.(gz|bz2|xz)|tgz|tbz2?|txz)$", re.IGNORECASE)
BLOCK = 1 << 20
UNIX, UTF8, ENCRYPTED = 3, 0x800, 1  # what zips have for where they were made, and two of their flags
HEADER_LIMIT = 1 << 20  # bytes of one header of a tar, such as a long name
END_LIMIT = 1 << 26  # bytes that may follow the end of a tar within its compression
COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
TAR_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


class Damaged(Exception):
    """The archive is not what it says; the message tells in what."""


@dataclass(frozen=True)
class Member:
    """A member of an archive, by the name that it has there: a file of `size` bytes or a folder.

    `refused` says what it is instead, where it is something that no corpus needs.
    """

    name: str
    size: int = 0
    folder: bool = False
    refused: str = ""


class Sink(Protocol):
    """Where files are written, one after the other, below `folder`."""

    folder: Path

    def begin(self, name: str) -> None:
        """The member whose bytes come next."""

    def write(self, data: bytes) -> int:
        """Some of its bytes."""


class Reader(Protocol):
    """An open archive."""

    def members(self) -> Iterator[Member]:
        """All members. Nothing of the content of one is read before it was yielded."""

    def unpack(self, sink: Sink) -> None:
        """Write the content of every file."""


@contextlib.contextmanager
def open_archive(paths: Sequence[Path]) -> Iterator[Reader]:
    """Open an archive by what its name says it is; several paths are the parts of a split zip."""
    match = SUFFIX.search(paths[0].name)
    kind = match.group(1).lower() if match else ""
    if kind == "7z":
        from espret.data.archives.seven_zip import open_seven_zip  # here, for loading py7zr takes its time

        with open_seven_zip(paths[0]) as seven_zip:
            yield seven_zip
    elif kind.startswith("z"):
        with open_zip(paths) as stream, zipfile.ZipFile(stream) as archive:
            yield ZipReader(archive)
    else:
        yield TarReader(paths[0])


class ZipReader:
    """A zip."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def members(self) -> Iterator[Member]:
        for info in self._archive.infolist():
            if info.header_offset < 0:
                raise Damaged(f"{info.filename!r} lies before the beginning")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & ENCRYPTED:
                refused = "encrypted"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                refused = "a symbolic link" if kind == stat.S_IFLNK else "neither a file nor a folder"
            else:
                refused = ""
            yield Member(_name(info), info.file_size, info.is_dir(), refused)

    def unpack(self, sink: Sink) -> None:
        for info in self._archive.infolist():
            if not info.is_dir():
                sink.begin(_name(info))
                with self._archive.open(info) as source:
                    shutil.copyfileobj(source, sink, BLOCK)


def _name(info: zipfile.ZipInfo) -> str:
    """The name of a member of a zip; not `filename`, which ends at a NUL."""
    name = info.orig_filename
    if info.create_system == UNIX and not info.flag_bits & UTF8:
        with contextlib.suppress(UnicodeError):  # zip writes the bytes of the disk's names, which zipfile misreads
            return name.encode("cp437").decode()
    return name


class TarReader:
    """A tar. It has no list of members, so that it is read, and its compression undone, twice."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def members(self) -> Iterator[Member]:
        with self._stream() as stream:
            for info in self._open(stream):
                yield Member(info.name, info.size, info.isdir(), _not_plain(info))
            end = 0
            while block := stream.read(BLOCK):  # to where the compression has its check sum
                end += len(block)
                if end > END_LIMIT:
                    raise Damaged("it goes on after its end")

    def unpack(self, sink: Sink) -> None:
        with self._stream() as stream:
            archive = self._open(stream)
            for info in archive:
                if source := archive.extractfile(info):
                    sink.begin(info.name)
                    shutil.copyfileobj(source, sink, BLOCK)

    def _stream(self) -> IO[bytes]:
        with open(self._path, "rb") as stream:
            head = stream.read(8)
        # By content, not by name: some programs undo the compression of a download and leave its name.
        opener = next((opener for magic, opener in COMPRESSIONS.items() if head.startswith(magic)), open)
        return opener(self._path, "rb")  # type: ignore[operator]

    def _open(self, stream: IO[bytes]) -> tarfile.TarFile:
        return tarfile.TarFile(fileobj=stream, tarinfo=_TarInfo, encoding="utf-8", errors="surrogateescape")


class _TarInfo(tarfile.TarInfo):
    """A header of a tar. Damage ends the reading with an error: tarfile takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _TarInfo:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.TarError as error:
            if buf and not any(buf) and len(buf) == tarfile.BLOCKSIZE:
                raise  # the block of zeros that is the end
            raise Damaged(f"{error}") from None
        if info.size < 0 or (info.type in TAR_HEADERS and info.size > HEADER_LIMIT):
            raise Damaged(f"a header of {info.size} bytes")
        return info


def _not_plain(info: tarfile.TarInfo) -> str:
    """What a member of a tar is, if neither file nor folder."""
    if info.isfile() or info.isdir():
        return ""
    if info.issym() or info.islnk():
        return f"a {'symbolic' if info.issym() else 'hard'} link to {info.linkname!r}"
    return "neither a file nor a folder"
