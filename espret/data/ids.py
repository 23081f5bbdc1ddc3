"""Clip ids that are safe everywhere: as keys of Kaldi tables, in file names, on command lines, in URLs."""

from __future__ import annotations

import re
import unicodedata

from espret.errors import EspretError

_SAFE = re.compile(r"\w[\w.,+=@-]*")
_UNSAFE = re.compile(r"[^\w.,+=@-]+")
LONGEST = 200  # bytes; file names end at 255 and ids get prefixes and suffixes


def safe_id(name: str) -> str:
    """An id made of `name` (a file's stem, say): every run of other characters than letters, digits and `_.,+=@-`
    becomes one `_`, as does a leading one that is not a letter, digit or `_`."""
    clean = _UNSAFE.sub("_", unicodedata.normalize("NFC", name))
    if not clean:
        raise EspretError(f"cannot make an id of {name!r}: expected at least one character")
    return clean if re.match(r"\w", clean) else "_" + clean[1:]


def check_id(name: object, where: str) -> str:
    """`name` if it is a safe id. Raises EspretError naming `where` and an id that would do."""
    if not isinstance(name, str) or not name:
        raise EspretError(f"{where}: clip id {name!r}; expected a string of at least one character")
    if not _SAFE.fullmatch(name):
        raise EspretError(
            f"{where}: clip id {name!r}; expected letters, digits and _.,+=@- only, none of .,+=@- first; "
            f"mend: espret.data.ids.safe_id makes it {safe_id(name)!r}"
        )
    if len(name.encode("utf-8")) > LONGEST:
        raise EspretError(f"{where}: clip id {name[:40]!r}... has {len(name)} characters; expected {LONGEST} at most")
    return name
