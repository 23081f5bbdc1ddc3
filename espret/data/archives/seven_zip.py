"""7z archives, read by py7zr.

py7zr comes with pip, alone, on every machine that runs espret; a p7zip binary needs an administrator and gives no say
before it writes, libarchive-c needs the system's libarchive. It decompresses with liblzma, as they do, and hands each
file's bytes to us.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import py7zr
from py7zr.exceptions import CrcError, PasswordRequired, UnsupportedCompressionMethodError
from py7zr.io import Py7zIO, WriterFactory

from espret.data.archives.formats import Damaged, Member, Sink
from espret.errors import EspretError


@contextmanager
def open_seven_zip(path: Path) -> Iterator[SevenZipReader]:
    """Open a 7z archive. Raises Damaged, NotImplementedError for a method that py7zr lacks, EspretError for one that
    is encrypted."""
    # An open file rather than its name: with a name py7zr writes several files at a time, in threads.
    with open(path, "rb") as stream, _errors(path), py7zr.SevenZipFile(stream) as archive:
        if archive.needs_password():
            raise PasswordRequired
        yield SevenZipReader(archive)


class SevenZipReader:
    """A 7z archive."""

    def __init__(self, archive: py7zr.SevenZipFile) -> None:
        self._archive = archive

    def members(self) -> Iterator[Member]:
        for info in self._archive.list():
            if info.is_symlink:
                refused = "a symbolic link"
            else:
                refused = "" if info.is_file or info.is_directory else "neither a file nor a folder"
            yield Member(info.filename, info.uncompressed, info.is_directory, refused)

    def unpack(self, sink: Sink) -> None:
        # py7zr writes nothing itself, but looks whether what it would write lies below this folder.
        self._archive.extractall(sink.folder, factory=_Files(sink))


class _Files(WriterFactory):
    """Asked by py7zr for something to write each file to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._start = len(f"{sink.folder.absolute().as_posix()}/")

    def create(self, filename: str) -> Py7zIO:
        self._sink.begin(filename[self._start :])
        return _File(self._sink)


class _File(Py7zIO):
    """A file that py7zr writes from its beginning to its end. The rest of the interface has no use here."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, s: bytes | bytearray) -> int:
        return self._sink.write(bytes(s))

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return 0


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """What py7zr raises, which for damaged archives is anything, as what `open_seven_zip` says."""
    try:
        yield
    except (Damaged, EspretError, MemoryError):
        raise
    except PasswordRequired:
        mend = "extract it with a program that asks for the password, and name the folder with --audio-dir"
        raise EspretError(f"{path}: encrypted; expected an archive without password; mend: {mend}") from None
    except UnsupportedCompressionMethodError as error:
        raise NotImplementedError(f"{error.message}") from None
    except CrcError as error:
        raise Damaged(f"{error.filename!r}: wrong check sum") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise Damaged(f"{error}") from None
    except Exception as error:
        raise Damaged(f"{type(error).__name__}: {error}") from None
