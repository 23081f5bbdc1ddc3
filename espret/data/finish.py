"""The last step of stage 0: accept or refuse the clips that cannot be used, and complete the data directories."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espret.data.check import recordings, recordings_sha256, split_name, work_files
from espret.data.datadir import DataDir
from espret.data.issues import PREPARE, Issue, write_issues
from espret.data.tables import SHOWN, some
from espret.data.validate import validate
from espret.errors import EspretError
from espret.files import read_jsonl

AGAIN = "mend: ./run.sh --stage 0 --stop-stage 0"


def finish_data(
    dirs: Sequence[str | os.PathLike[str]],
    work: str | os.PathLike[str],
    issues: str | os.PathLike[str],
    allow_missing: str = "0",
) -> list[str]:
    """Write all issues to the table `issues` and drop their clips from `dirs`; returns one line a split, and one
    where clips are odd.

    `allow_missing` is how many clips may go ("12"), or which share of each split ("15%"). Raises EspretError, leaving
    `dirs` as they are, where more would go; where a shard of check-audio is missing or looked at other clips; where a
    split would be left empty or a directory is not sound.
    """
    listed = _gather(dirs, work)
    write_issues(issues, listed)
    found = [issue for issue in listed if not issue.kept]
    lost = {(issue.split, issue.id) for issue in found}
    _allow(dirs, found, lost, allow_missing, issues)
    lines = []
    for path in dirs:
        directory = DataDir.load(path)
        split = split_name(path, directory)
        gone = {utt for name, utt in lost if name == split}
        kept = [utt for utt in directory.utts if utt not in gone]
        if not kept:
            raise EspretError(f"{split}: no clip left of {len(gone)}; see {issues}")
        directory = directory.subset(kept)
        directory.write(path)
        problems = validate(path)
        if problems:
            raise EspretError("\n".join(problems))
        lines.append(_summary(split, directory, len(gone)))
    if odd := [issue for issue in listed if issue.kept]:
        lines.append(f"warning: {len(odd)} odd clips are used, see {issues}: {_told(odd[0])}")
    return lines


def _gather(dirs: Sequence[str | os.PathLike[str]], work: str | os.PathLike[str]) -> list[Issue]:
    """The issues of prepare and of all shards of check-audio, each clip's first."""
    rows: list[dict[str, Any]] = read_jsonl(Path(work) / PREPARE) if (Path(work) / PREPARE).exists() else []
    expected = recordings_sha256(recordings(dirs))
    files = work_files(work)
    shards = 0
    for number, path in enumerate(files, 1):
        head, *found = read_jsonl(path)
        shards = shards or head["shards"]
        if head["shard"] != number or head["shards"] != shards:
            break
        if head["list_sha256"] != expected:
            raise EspretError(f"{path}: check-audio looked at other clips than {some(map(str, dirs))} have; {AGAIN}")
        rows += found
        if number == shards:
            return _first_of_each(rows)
    seen = some(path.name for path in files) or "none"
    raise EspretError(f"{work}: check-audio has not finished, or with another number of jobs: found {seen}; {AGAIN}")


def _first_of_each(rows: list[dict[str, Any]]) -> list[Issue]:
    """One issue a clip: the first that drops it, else the first remark."""
    issues: dict[tuple[str, str], Issue] = {}
    for row in sorted(rows, key=lambda row: bool(row["kept"])):
        issues.setdefault((row["split"], row["id"]), Issue(**row))
    return sorted(issues.values())


def _allow(
    dirs: Sequence[str | os.PathLike[str]],
    found: list[Issue],
    lost: set[tuple[str, str]],
    allowed: str,
    table: str | os.PathLike[str],
) -> None:
    """Raise EspretError, with the sizes that the splits would have, where more clips would go than are allowed."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%|[0-9]+", allowed)
    if not match:
        raise EspretError(f"--allow-missing {allowed}: expected a number of clips, or a share of each split: 15%", 2)
    sizes = {}
    for path in dirs:
        directory = DataDir.load(path)
        split = split_name(path, directory)
        gone = sum(name == split for name, _ in lost)
        sizes[split] = (gone, _listed(directory, gone))
    if match[1]:
        refused = any(100 * gone > float(match[1]) * size for gone, size in sizes.values())
    else:
        refused = len(lost) > int(allowed)
    if refused:
        raise EspretError(_refusal(found, len(lost), allowed, sizes, table))


def _refusal(
    found: list[Issue], lost: int, allowed: str, sizes: dict[str, tuple[int, int]], table: str | os.PathLike[str]
) -> str:
    most = f"{allowed} of each split" if allowed.endswith("%") else allowed
    lines = [f"{lost} clip{'s' * (lost > 1)} cannot be used; expected {most} at most (--allow-missing {allowed}):"]
    lines += [f"  {_told(issue)}" for issue in found[:SHOWN]]
    lines += [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    left = ", ".join(f"{split} {size - gone} of {size}" for split, (gone, size) in sizes.items())
    lines += [f"without them: {left} clips", f"all of them: {shlex.quote(os.fspath(table))}"]
    if empty := [split for split, (gone, size) in sizes.items() if gone == size]:
        lines += [f"mend: nothing is left of {', '.join(empty)}: is it the right folder, with files called as above?"]
    else:
        lines += [f"mend: replace these files and run the stage again, or go without them: --allow-missing {lost}"]
    return "\n".join(lines)


def _told(issue: Issue) -> str:
    """An issue in one line."""
    return f"{issue.split} '{issue.id}'{' ' * bool(issue.path)}{issue.path}: {issue.reason}"


def _summary(split: str, directory: DataDir, gone: int) -> str:
    hours = sum(directory.utt2dur.values()) / 3600
    length = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
    of = f" of {_listed(directory, gone)}" if gone else ""
    return f"{split}: {len(directory.utts)}{of} clips, {length}, {len(directory.text)} captions"


def _listed(directory: DataDir, gone: int) -> int:
    """How many clips the split has when it is complete."""
    return int(directory.about.get("listed") or len(directory.utts) + gone)
