"""Extract the archives that corpora are published as, safely: all of one or nothing, and never beyond its folder.

What an archive says that it holds is checked whole before anything is written: names, kinds of members, sizes. How
each format is read lives in `formats`, `seven_zip` and `split_zip`; which archives are extracted where, and
that one process at a time does it, in espret.data.sources.
"""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from espret.data.archives.formats import SUFFIX, Damaged, Member, open_archive
from espret.disk import SPARE, amount, free_bytes, writing
from espret.download import progress
from espret.errors import EspretError
from espret.files import PARTIAL

if TYPE_CHECKING:
    from tqdm import tqdm

MEMBERS = 2_000_000  # more files and folders are no corpus
RATIO = 200  # sound and features shrink by less; a bomb by much more
HARMLESS = 1_000_000_000  # bytes that any archive may unfold to
UNFIT = (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.EEXIST)  # what disks say of names that they do not keep
WEB_PAGE = (b"<!doctype html", b"<html")
DAMAGE = (
    *(Damaged, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, struct.error, ValueError, LookupError, OverflowError),
)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that `extract` knows, or of a part of one."""
    return SUFFIX.search(path.name) is not None


def extract(archive: Path | Sequence[Path], target: Path, say: Callable[[str], None] = _say) -> int:
    """Extract an archive (several paths: the parts of one split zip, in any order) to the new folder `target`.

    Returns the number of files. They lie below `<target>.partial` until all are whole; what a killed process left there
    is removed. Two processes must not extract to one `target` at once: the caller sees to that with a lock.

    Raises EspretError, and leaves nothing, for an archive that is damaged, encrypted, or written in a way that cannot
    be read; one with a member that is neither file nor folder, that would lie elsewhere, or where another one lies; one
    that unfolds to too much; and when the disk is too full.
    """
    paths = [archive] if isinstance(archive, Path) else list(archive)
    label = next((path for path in paths if path.suffix.lower() == ".zip"), paths[0])
    if missing := [path for path in paths if not path.is_file()]:
        raise EspretError(f"{missing[0]}: no such file; expected an archive to extract")
    if os.path.lexists(target):
        raise EspretError(f"{target}: is there already; expected to make it of {label}; mend: move it away")
    size = sum(path.stat().st_size for path in paths)
    say(f"extracting {label} ({amount(size)})")
    contents, writer = Contents(label, size), Writer(target)
    with writing(target.parent), _read(label, writer), open_archive(paths) as reader:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(writer.folder)
        for member in reader.members():
            contents.add(member)
        contents.check(target.parent)
        with writing(target.parent, contents.total), writer.filling(contents):
            reader.unpack(writer)
    return len(contents.files)


@contextmanager
def _read(label: Path, writer: Writer) -> Iterator[None]:
    """Errors of reading the archive become EspretErrors that name it and the member; nothing stays behind."""
    try:
        yield
    except NotImplementedError as error:
        mend = "extract it with another program and name the folder with --audio-dir"
        raise EspretError(f"{label}: {writer.where()}espret cannot read it: {error}; mend: {mend}") from None
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the archive's
        with open(label, "rb") as stream:
            page = stream.read(1000).lstrip().lower().startswith(WEB_PAGE)
        what = "it is a web page, not an archive" if page else f"damaged, or cut off: {error or type(error).__name__}"
        raise EspretError(f"{label}: {writer.where()}{what}; mend: delete it and fetch it again") from None


def _remove(path: Path) -> None:
    """Whatever lies there; nothing need."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Contents:
    """What an archive of `size` bytes says that it holds: `files` by their path below the target with their bytes,
    `folders`, and `total` bytes. Raises EspretError for what is not to be extracted."""

    def __init__(self, label: Path, size: int) -> None:
        self.label, self._size, self._members = label, size, 0
        self.files: dict[str, int] = {}
        self.folders: set[str] = set()
        self.total = 0

    def add(self, member: Member) -> None:
        """One more member."""
        if member.size < 0:
            raise Damaged(f"{member.name!r} has {member.size} bytes")
        self._members += 1
        self.total += member.size
        if self._members > MEMBERS:
            raise self._refusal(f"it holds more than {MEMBERS} files and folders")
        if self.total > max(HARMLESS, RATIO * self._size):
            raise self._refusal(f"its {amount(self._size)} unfold to more than {amount(self.total - 1)}")
        try:
            path = self._place(member)
        except ValueError as error:
            raise self._refusal(f"{member.name!r} {error}") from None
        if not member.folder:
            self.files[path] = member.size

    def check(self, folder: Path) -> None:
        """After the last member: something is there, and the disk of `folder` has room for it."""
        if not self.files:
            raise Damaged("it holds no files")
        if self.total + SPARE > (free := free_bytes(folder)):
            raise EspretError(
                f"{folder}: {amount(free)} free; expected {amount(self.total + SPARE)} to extract {self.label}; "
                "mend: make room there, or take a folder on another disk, and run again"
            )

    def _place(self, member: Member) -> str:
        """The path of the member, whose folders are noted. Raises ValueError when there is no place for it."""
        if member.refused:
            raise ValueError(f"is {member.refused}")
        path = inner_path(member.name)
        if not path and not member.folder:
            raise ValueError("has no name")
        if path in self.files or (path in self.folders and not member.folder):
            raise ValueError("is there twice")
        parts = path.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + bool(path and member.folder))]
        if clash := next((folder for folder in above if folder in self.files), None):
            raise ValueError(f"lies below {clash!r}, a file")
        self.folders.update(above)
        return path

    def _refusal(self, what: str) -> EspretError:
        expected = "expected files and folders, each with a place of its own below the target"
        return EspretError(
            f"{self.label}: {what}; {expected}; nothing was extracted; "
            "mend: do not trust this file: delete it and fetch it from its official address"
        )


def inner_path(name: str) -> str:
    """A member's name as a path below the target: `./a//b` is `a/b`. Raises ValueError for one that leads elsewhere."""
    if "\0" in name:
        raise ValueError("has a NUL in its name")
    if name.startswith("/"):
        raise ValueError("is an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("leads out of its folder")
    return "/".join(parts)


class Writer:
    """Writes files below `folder`, which becomes `target`, one after the other, each as long as was announced."""

    def __init__(self, target: Path) -> None:
        self.folder, self._target = target.with_name(target.name + PARTIAL), target
        self._name = ""
        self._stream: IO[bytes] | None = None
        self._rest = 0  # bytes that the open file still lacks
        self._missing: dict[str, int] = {}
        self._bar: tqdm | None = None

    @contextmanager
    def filling(self, contents: Contents) -> Iterator[None]:
        """Make the folder, have it filled, and make it the target when all of `contents` is there; else remove it."""
        self._missing = dict(contents.files)
        try:
            for path in ["", *sorted(contents.folders)]:
                with self._named(path):
                    (self.folder / path).mkdir()
            with progress(contents.label.name, contents.total) as self._bar:
                yield
                self.end()
            if self._missing:
                raise Damaged(f"{len(self._missing)} files are announced but not there, {min(self._missing)!r} first")
            os.sync()  # once, not file by file: no crash may leave a whole folder with empty files
            os.replace(self.folder, self._target)
        except BaseException:
            if self._stream is not None:
                with suppress(OSError):  # a full disk still refuses what waits to be written
                    self._stream.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def where(self) -> str:
        """For a message: the file that is being written, if any."""
        return f"{self._name!r}: " if self._stream is not None else ""

    def begin(self, name: str) -> None:
        """Go on with another file: the member called `name`."""
        self.end()
        path = inner_path(name)
        self._rest = self._missing.pop(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._named(path):
            self._stream = os.fdopen(os.open(self.folder / path, flags, 0o666), "wb")
        self._name = name

    @contextmanager
    def _named(self, path: str) -> Iterator[None]:
        """Make what is called `path`. Raises EspretError where the disk keeps no such name, or takes A for a."""
        try:
            yield
        except OSError as error:
            if error.errno not in UNFIT:
                raise
            what = f"this disk takes no {path!r}: {error.strerror}; expected one that keeps every name"
            raise EspretError(f"{self._target.parent}: {what}; mend: take a folder on another disk") from None

    def write(self, data: bytes) -> int:
        """Add bytes to the file. Raises Damaged when they are more than was announced."""
        self._rest -= len(data)
        if self._rest < 0:
            raise Damaged("longer than announced")
        assert self._stream is not None and self._bar is not None
        self._bar.update(len(data))
        return self._stream.write(data)

    def end(self) -> None:
        """The file is over. Raises Damaged when bytes are missing."""
        if self._stream is not None:
            if self._rest:
                raise Damaged(f"{self._rest} bytes shorter than announced")
            self._stream.close()
            self._stream = None
