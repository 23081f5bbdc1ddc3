"""Bring the published weights of audio networks: from the web or from a file, verified, unpacked, tried (stage 1).

    espret fetch-checkpoint cnn14 vggish        from the web
    espret fetch-checkpoint cnn14 --from FILE   a file fetched elsewhere, for machines without a connection
    espret fetch-checkpoint --list              the networks, where they come from, what is here

They come to tools/checkpoints/NAME, or to $ESPRET_CHECKPOINTS/NAME, where `checkpoint: official` finds them.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import zlib
from pathlib import Path

from espret.audio import FRONTENDS
from espret.audio.published import Published, published, recognised, table
from espret.bin import parser
from espret.disk import amount, writing
from espret.download import fetch
from espret.errors import EspretError
from espret.files import atomic_write, sha256_file
from espret.installation import alone

HEADER = ("name", "here", "size", "rate", "hop", "dim", "frames", "licence", "address")


def main(argv: list[str]) -> int:
    options = parser("fetch-checkpoint", __doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help="a network of --list")
    options.add_argument("--from", dest="file", type=Path, metavar="FILE", help="take this file instead of the web's")
    options.add_argument("--list", action="store_true", help="print the networks and stop")
    args = options.parse_args(argv)
    if args.list:
        print(listing())
        return 0
    if not args.names or (args.file and len(args.names) > 1):
        options.error("expected the NAME of a network; with --from FILE one, without it one or more (--list has them)")
    for row in [published(name) for name in args.names]:  # all names are looked up before anything is fetched
        path = bring(row, args.file)
        sure = "as published" if row.digest else f"no digest is published; sha256 {sha256_file(path)}"
        print(f"{row.name}: {path} ({sure})", flush=True)
    return 0


def listing() -> str:
    """The table of networks, what is here marked, in columns."""
    lines = [HEADER]
    for row in table().values():
        here = "yes" if row.path.is_file() else "-"
        size = amount(row.size) if row.size else "-"
        numbers = (f"{row.sample_rate} Hz", f"{row.hop_seconds:g} s", str(row.dim))
        lines.append((row.name, here, size, *numbers, row.frames, row.licence, row.url))
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def bring(row: Published, file: Path | None = None) -> Path:
    """Put a checkpoint where `checkpoint: official` looks for it, from a file or else the web; returns where that is.

    Raises EspretError where it is not the published one or cannot be loaded; what was there before stays then.
    """
    folder, incoming = row.path.parent, row.path.parent / "incoming"
    with writing(folder, row.size), alone(folder):
        try:
            if file is not None:
                _install(row, file)
            elif not row.path.is_file() or (not row.packed and row.problem(row.path)):
                _install_fetched(row, fetch(row.remote, incoming / row.path.name))
        finally:
            with contextlib.suppress(OSError):  # parts from which a later call goes on, or no such folder
                incoming.rmdir()
    return row.path


def _install_fetched(row: Published, fetched: Path) -> None:
    try:
        _install(row, fetched)
    except EspretError:
        fetched.unlink()  # else the next call would take it for what it needs
        raise
    fetched.unlink()


def _install(row: Published, file: Path) -> None:
    """Verify a file, copy or unpack it, and try whether it loads before it gets its place."""
    if not file.is_file():
        raise EspretError(f"{file}: no such file; expected the checkpoint {row.name}; mend: fetch {row.url}")
    packed = _is_packed(file)
    if packed == row.packed:
        _verify(row, file)
    whole = row.path.parent / "incoming" / f"new {row.path.name}"
    with atomic_write(whole, "wb") as stream, (gzip.open if packed else open)(file, "rb") as source:
        try:
            shutil.copyfileobj(source, stream, 1 << 20)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise EspretError(f"{file}: cannot be unpacked: {error}; mend: fetch {row.url} again") from None
    try:
        if packed and not row.packed:  # the published one, compressed by the user
            _verify(row, whole)
        _try(row, whole if packed else file)
        os.replace(whole, row.path)
    finally:
        whole.unlink(missing_ok=True)


def _is_packed(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _verify(row: Published, file: Path) -> None:
    """Raise EspretError unless a file is the published one."""
    if problem := row.problem(file):
        other = recognised(file)
        cause = f"that of {other}" if other else "damaged, or another version, which 'checkpoint: FILE' takes"
        raise EspretError(f"{file}: not the checkpoint {row.name}: {problem}; it is {cause}; mend: fetch {row.url}")


def _try(row: Published, file: Path) -> None:
    """Raise EspretError unless a file can be loaded, into its network where that has one of its own."""
    from espret.audio.checkpoint import load_checkpoint  # here, for PyTorch takes seconds to load
    from espret.audio.tensor_files import read_tensors

    if row.name in set(FRONTENDS):  # whose own test raises for what it does not have
        load_checkpoint(row.name, file)
    else:
        read_tensors(file)
