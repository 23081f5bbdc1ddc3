"""What is wrong with clips: the rows that the steps of stage 0 hand on, and data_issues.tsv that the user reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from espret.files import atomic_write

PREPARE = "issues.prepare.jsonl"  # in the work folder: what the header probe found
HEADER = ("split", "id", "path", "reason", "clip")


class Issue(NamedTuple):
    """Why a clip cannot be used, or, where it is `kept`, what is odd about it."""

    split: str
    id: str
    path: str
    reason: str
    kept: bool = False


def shard_file(work: str | os.PathLike[str], j: int) -> Path:
    """Where task `j` of check-audio leaves what it found."""
    return Path(work) / f"issues.{j}.jsonl"


def write_issues(path: str | os.PathLike[str], issues: Iterable[Issue]) -> None:
    """Write data_issues.tsv: a header and one row an issue, sorted by split and id; tabs and line ends as \\t, \\n."""
    with atomic_write(path) as stream:
        stream.write("\t".join(HEADER) + "\n")
        for issue in sorted(issues):
            row = (*issue[:4], "kept" if issue.kept else "dropped")
            stream.write("\t".join(map(_escaped, row)) + "\n")


def _escaped(field: str) -> str:
    """One field of the table; bytes of a file name that are not UTF-8 are shown as \\xNN."""
    plain = field.replace("\\", "\\\\") if any(c in field for c in "\t\n\r") else field
    plain = plain.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
