"""What of a corpus' archives is extracted already: each once, the folder whole or absent, anew for other archives."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from espret.errors import EspretError
from espret.files import read_json, write_json
from espret.recipe.lock import locked


class Extracted:
    """The folders below `base` that archives were extracted to, by their relative names.

    Beside them, in `base`/.extracted, lies for each of which archives it was made: name -> what identifies the content,
    a digest or a size ("bytes:N"). Archives that were extracted may be deleted.
    """

    def __init__(self, base: Path) -> None:
        self._base = base

    def folder(self, into: str) -> Path:
        """Where the folder called `into` is, or would be."""
        return self._base / into

    def holds(self, into: str, archives: Mapping[str, str]) -> bool:
        """Whether the folder is there and made of these archives (name -> identity, "" for any)."""
        made = self._made(into)
        return (
            self.folder(into).is_dir()
            and made.keys() == archives.keys()
            and all(identity in ("", made[name]) for name, identity in archives.items())
        )

    def all_of(self) -> Iterator[dict[str, str]]:
        """The archives of each folder that is there: name -> identity."""
        for marker in (self._base / ".extracted").glob("*.json"):
            made = _read(marker)
            if self.folder(str(made.get("folder"))).is_dir():
                yield made["archives"]

    def once(self, into: str, archives: Mapping[str, str], paths: Sequence[Path]) -> Path:
        """Extract the archive `paths` (several: the parts of one) to the folder unless it `holds` them; returns it.

        One process does, others wait. Raises EspretError for a folder that was not made here.
        """
        from espret.data.archives.extract import extract  # here, for loading py7zr takes its time

        target = self.folder(into)
        staged = target.with_name(f".{target.name}.new")
        with locked(str(target), False, lambda text: print(text, file=sys.stderr, flush=True)):
            if self.holds(into, archives):
                return target
            if os.path.lexists(target) and not self._made(into):
                raise EspretError(f"{target}: is there, but not by espret; expected none; mend: move it away")
            shutil.rmtree(staged, ignore_errors=True)
            extract(paths[0] if len(paths) == 1 else paths, staged)
            if target.is_symlink():
                target.unlink()
            elif target.exists():
                shutil.rmtree(target)
            # The note comes first: without its folder it says nothing, a folder without it would be taken for a user's.
            write_json(self._marker(into), {"folder": into, "archives": dict(archives)})
            os.replace(staged, target)
        return target

    def _marker(self, into: str) -> Path:
        return self._base / ".extracted" / f"{quote(into, safe='')}.json"

    def _made(self, into: str) -> dict[str, str]:
        made: dict[str, str] = _read(self._marker(into)).get("archives", {})
        return made


def _read(marker: Path) -> dict[str, Any]:
    """A note; empty when there is none."""
    return dict(read_json(marker)) if marker.is_file() else {}
