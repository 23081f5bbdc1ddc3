"""The checkpoints that others have published: where, how large, under which licence, and what comes of them.

The table is networks.tsv. Fetching them is `espret.bin.fetch_checkpoint`, loading them `espret.audio.checkpoint`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from espret.download import Remote, difference, file_digest
from espret.errors import EspretError, nearest
from espret.installation import home

TABLE = Path(__file__).with_name("networks.tsv")
PREFIX = "sha256-prefix:"
UNKNOWN = "-"


@dataclass(frozen=True)
class Published:
    """A checkpoint, as networks.tsv has it: size in bytes and digest None where they are not stated."""

    name: str
    url: str
    size: int | None
    digest: str | None
    licence: str
    sample_rate: int
    hop_seconds: float
    dim: int
    frames: str
    source: str

    @property
    def path(self) -> Path:
        """Where it lies once it is fetched: below tools/checkpoints, or $ESPRET_CHECKPOINTS; unpacked."""
        name = unquote(urlsplit(self.url).path).rsplit("/", 1)[-1]
        return home("checkpoints", "ESPRET_CHECKPOINTS") / self.name / name.removesuffix(".gz")

    @property
    def remote(self) -> Remote:
        """What is downloaded; of a digest that is a beginning only `problem` knows."""
        digest = None if self.digest is None or self.digest.startswith(PREFIX) else self.digest
        return Remote(self.url, self.size, digest)

    @property
    def packed(self) -> bool:
        """Whether it is published compressed by gzip; size and digest are of that."""
        return urlsplit(self.url).path.endswith(".gz")

    def problem(self, file: Path) -> str:
        """In what a file differs from the published one, as far as size and digest are stated; empty: in nothing."""
        found = difference(file, self.remote)
        if found or self.digest is None or not self.digest.startswith(PREFIX):
            return found
        digest, wanted = file_digest(file, "sha256"), self.digest.removeprefix(PREFIX)
        return "" if digest.startswith(wanted) else f"sha256 {digest} instead of {wanted}..."


def table() -> dict[str, Published]:
    """All published checkpoints by name, in the order of the table."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {row.name: row for row in map(_row, lines[1:])}


def published(name: str) -> Published:
    """A checkpoint by its name. Raises EspretError for an unknown one, with the nearest known."""
    known = table()
    if name not in known:
        raise EspretError(f"no published checkpoint is called '{name}'{nearest(name, known)}")
    return known[name]


def recognised(file: Path) -> str:
    """The name of the checkpoint that a file is, by size and digest; empty where none of the table's is known to be."""
    size = file.stat().st_size
    rows = [row for row in table().values() if row.digest and not row.packed and row.size in (None, size)]
    return next((row.name for row in rows if not row.problem(file)), "")


def _row(line: str) -> Published:
    name, url, size, digest, licence, rate, hop, dim, frames, source = line.split("\t")
    known_size = None if size == UNKNOWN else int(size)
    known_digest = None if digest == UNKNOWN else digest
    return Published(name, url, known_size, known_digest, licence, int(rate), float(hop), int(dim), frames, source)
