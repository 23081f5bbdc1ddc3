"""The archive's format: a zip that is written byte for byte the same from the same parts, and read as hostile.

Its members lie as an experiment's files do, so that what reads experiments reads them too:

    config.yaml  best.pt  text/tokenizer.json  text/...  score_<split>/scores.json  meta.json

meta.json says what the system is and gives the SHA-256 of every other member. Nothing is compressed: weights hardly
shrink, the bytes depend on no compressor's version, and no small archive unfolds to a large one. What the members mean
lives in `pack` and `packed`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espret.errors import EspretError
from espret.files import atomic_write
from espret.training import TASKS
from espret.training.checkpoint import BEST

FORMAT = 1
META, CONFIG, TEXT = "meta.json", "config.yaml", "text"
REQUIRED = {META, CONFIG, BEST, f"{TEXT}/tokenizer.json"}
SCORES = "scores.json"
META_LIMIT = 1 << 20  # bytes
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
TYPES = {"task": str, "system": str, "corpus": str, "seed": int, "espret": str, "torch": str, "date": str}
_SAFE = r"[^/\\:\0-\x1f.][^/\\:\0-\x1f]*"
_NAME = re.compile(rf"{META}|{CONFIG}|{re.escape(BEST)}|{TEXT}/{_SAFE}|score_[^/\\:\0-\x1f]+/{SCORES}")
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError)


def write_archive(path: str | os.PathLike[str], members: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Write `members` and their meta.json, which holds `about` (the keys of TYPES), to `path`, atomically."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(members.items())}
    meta = {"format": FORMAT, **about, "sha256": hashes}
    content = json.dumps(meta, indent=2, ensure_ascii=False).encode() + b"\n"
    with atomic_write(path, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted({**members, META: content}.items()):
            if not _NAME.fullmatch(name):
                raise EspretError(f"{path}: '{name}' cannot be the name of a member; expected {_NAME.pattern}")
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # the same on every platform
            archive.writestr(entry, data)


def unpack(path: str | os.PathLike[str], folder: Path) -> dict[str, Any]:
    """Write the members of the archive `path` below the empty `folder`; returns meta.json.

    Raises EspretError naming archive and member for a name that may leave the folder or has no place in an archive,
    for what is compressed, encrypted, missing, there twice or too large, and for content without its SHA-256.
    """
    if not os.path.isfile(path):
        raise EspretError(f"{path}: no such archive; expected one made by espret pack (./run.sh --stop-stage 6)")
    with _opened(path, f"{path}") as archive:
        names = _names(path, archive)
        meta = _meta(path, archive, names)
        for name in sorted(names - {META}):
            found = _extract(archive, name, folder / name)
            if found != meta["sha256"][name]:
                raise EspretError(
                    f"{path}: {name}: its SHA-256 is {found}, expected {meta['sha256'][name]} ({META}); "
                    "the archive was changed: fetch it again, or pack it again"
                )
    with _opened(folder / BEST, f"{path}: {BEST}"):
        return meta


@contextmanager
def _opened(path: str | os.PathLike[str], where: str) -> Iterator[zipfile.ZipFile]:
    """The open zip file; none of its members takes more room than it has in the file. Errors start with `where`."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries:
                if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                    raise EspretError(f"{where}: {entry.filename!r} is compressed or encrypted; expected neither")
            total, size = sum(entry.file_size for entry in entries), os.stat(path).st_size
            if total > size:
                raise EspretError(f"{where}: {size} bytes, but its members claim {total}; they overlap")
            yield archive
    except _DAMAGE as error:
        raise EspretError(f"{where}: not a whole zip file: {error}; fetch it again, or pack it again") from None


def _names(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> set[str]:
    """The names of the members, each of which has its place in an archive."""
    names = Counter(archive.namelist())
    for name, count in names.items():
        if not _NAME.fullmatch(name):
            raise EspretError(f"{path}: a member called {name!r} has no place in an archive of espret; do not trust it")
        if count > 1:
            raise EspretError(f"{path}: {name}: there {count} times, expected once; do not trust it")
    missing = sorted(REQUIRED - names.keys())
    if missing:
        raise EspretError(f"{path}: {missing[0]} is missing; expected an archive made by espret pack")
    return set(names)


def _meta(path: str | os.PathLike[str], archive: zipfile.ZipFile, names: set[str]) -> dict[str, Any]:
    """meta.json, of the right form and with a hash for each of the other members `names`."""
    where = f"{path}: {META}"
    size = archive.getinfo(META).file_size
    if size > META_LIMIT:
        raise EspretError(f"{where}: {size} bytes, expected at most {META_LIMIT}")
    try:
        meta = json.loads(archive.read(META).decode())
    except (ValueError, RecursionError) as error:
        raise EspretError(f"{where}: not JSON: {error}") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = meta.get("format") if isinstance(meta, dict) else meta
        raise EspretError(f"{where}: format {found!r:.40}, expected {FORMAT}; a newer espret may read it")
    for key, kind in TYPES.items():
        if type(meta.get(key)) is not kind:
            raise EspretError(f"{where}: {key} is {meta.get(key)!r:.40}, expected {kind.__name__}")
    if meta["task"] not in list(TASKS):
        raise EspretError(f"{where}: task is {meta['task']!r:.40}, expected {' or '.join(TASKS)}")
    hashes = meta.get("sha256")
    if not isinstance(hashes, dict) or hashes.keys() != names - {META}:
        listed = hashes.keys() if isinstance(hashes, dict) else set()
        odd = sorted(listed ^ (names - {META}))
        raise EspretError(f"{where}: sha256 and members differ in {', '.join(map(repr, odd[:3])) or 'all'}")
    return meta


def _extract(archive: zipfile.ZipFile, name: str, target: Path) -> str:
    """Write a member to the new file `target`, in blocks; returns its SHA-256."""
    target.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(name) as source, open(target, "xb") as sink:
        while block := source.read(1 << 20):
            digest.update(block)
            sink.write(block)
    return digest.hexdigest()
