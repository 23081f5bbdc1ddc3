"""The ledger: a record beside every output, saying how it was made, so that an output is either whole or absent.

A directory's record lies in it (`.espret.json`) and so appears with it in one rename; a single file's lies in the
sibling folder `.espret/`. The record holds the fingerprint of what the output depends on and the hashes of its files.
`state` compares both with what is there now; `Partial` is an output that is still being written.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espret.errors import EspretError
from espret.files import CONTENT, PARTIAL, read_json, sha256_file, write_json
from espret.jobs.submission import cancel_left
from espret.recipe.fingerprint import differences, external_digest
from espret.recipe.plan import Step

RECORD = ".espret.json"
UNFINISHED = ".espret-unfinished.json"  # in a partial output: the fingerprint it is being made for
SIDE = ".espret"  # sibling folder: records of single files, locks


@dataclass
class State:
    """What is known of a step's outputs: `kind` is fresh, edited, stale, damaged, foreign, unfinished or absent.

    Foreign: a directory is there, without a record. Ours appear together with theirs, so it is the user's own.
    """

    kind: str
    reasons: list[str] = field(default_factory=list)
    record: dict[str, Any] | None = None

    @property
    def usable(self) -> bool:
        """Whether later steps may read the outputs."""
        return self.kind in ("fresh", "edited", "foreign")


def record_path(output: str, is_file: bool) -> Path:
    """Where the record of an output lies."""
    path = Path(output)
    return path.parent / SIDE / f"{path.name}.json" if is_file else path / RECORD


def read_record(output: str) -> dict[str, Any] | None:
    """The record of an output, or None: a file that is not a whole record counts as none."""
    for is_file in (False, True):
        path = record_path(output, is_file)
        if path.is_file():
            try:
                record = read_json(path)
            except EspretError:
                return None
            return record if isinstance(record, dict) and "files" in record else None
    return None


def _files(output: Path) -> list[str]:
    """The files of an output that count: not its record, its logs, nor what later steps add under their own record."""
    if output.is_file():
        return [""]
    found = []
    for folder, folders, names in os.walk(output):
        relative = os.path.relpath(folder, output)
        folders[:] = sorted(
            name
            for name in folders
            if not (relative == "." and name == "log")
            and name != SIDE
            and not name.endswith(PARTIAL)
            and not os.path.exists(os.path.join(folder, name, RECORD))
        )
        prefix = "" if relative == "." else relative + "/"
        found += [prefix + name for name in names if name not in (RECORD, UNFINISHED)]
    return sorted(found)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def inventory(output: Path) -> dict[str, list[Any]]:
    """{relative name: [size, time, SHA-256]} of an output's files ("" for a single file)."""
    return {name: [*_stamp(output / name), sha256_file(output / name)] for name in _files(output)}


def digest(files: dict[str, list[Any]]) -> str:
    """One hash for an inventory: names and contents, not times; or what the output itself says that it contains."""
    if CONTENT in files:
        files = {CONTENT: files[CONTENT]}
    rows = "\n".join(f"{name}\t{entry[2]}" for name, entry in sorted(files.items()))
    return hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()


def current_digest(output: str) -> str | None:
    """The digest of an output as it is now: the record's, unless a file was edited since; None if it is absent."""
    record = read_record(output)
    if record is None:
        return external_digest(output)
    edited = _edited(Path(output), record)
    if not edited:
        return str(record["digest"])
    return digest({name: entry for name, entry in {**record["files"], **edited}.items() if name != CONTENT})


def _edited(output: Path, record: dict[str, Any]) -> dict[str, list[Any]]:
    """The files whose content is no longer the recorded one. Only those with another size or time are read."""
    edited = {}
    for name, entry in record["files"].items():
        path = output / name if name else output
        if path.is_file() and _stamp(path) != entry[:2]:
            content = sha256_file(path)
            if content != entry[2]:
                edited[name] = [*_stamp(path), content]
    return edited


def state(step: Step, wanted: dict[str, Any]) -> State:
    """The state of a step's outputs against the fingerprint `wanted` now."""
    notes = []
    record = None
    for output in step.outputs:
        if (Path(output + PARTIAL) / RECORD).is_file():
            return State("unfinished", [f"{output} is made, but was not put in its place"])
        record = read_record(output)
        if record is None:
            if Path(output).is_dir() and not is_absent(output):
                return State("foreign", [f"{output} was not made by this recipe"])
            if Path(output + PARTIAL).exists():
                return State("unfinished", [f"{output} was not finished"])
            return State("absent", [f"{output} does not exist"])
        gone = [name for name in record["files"] if not (Path(output) / name if name else Path(output)).is_file()]
        if gone:
            return State("damaged", [f"{output}/{gone[0]} is missing" if gone[0] else f"{output} is missing"], record)
        reasons = differences(record["fingerprint"], wanted)
        if reasons:
            return State("stale", reasons, record)
        notes += [f"{output}/{name}".rstrip("/") for name in _edited(Path(output), record)]
    if notes:
        return State("edited", [f"{', '.join(notes[:3])} edited since; kept, --force makes it again"], record)
    return State("fresh", [], record)


def is_absent(output: str) -> bool:
    """Whether there is nothing, or a directory with no more in it than the locks of steps that write inside it."""
    path = Path(output)
    return not path.exists() or (path.is_dir() and all(entry.name == SIDE for entry in path.iterdir()))


class Partial:
    """The outputs of a step while they are written: `<output>.partial`, resumed only for the same fingerprint."""

    def __init__(self, step: Step, wanted: dict[str, Any]) -> None:
        self.step = step
        self.wanted = wanted
        self.paths = {output: output + PARTIAL for output in step.outputs}

    @property
    def log(self) -> str:
        """The folder for logs and job records; it lives and dies with the first output."""
        first = self.step.outputs[0]
        if first in self.step.files:
            return str(Path(first).parent / SIDE / f"{Path(first).name}.log")
        return f"{self.paths[first]}/log"

    def open(self, fresh: bool) -> bool:
        """Make the partial outputs, or take up those of an interrupted run. Returns whether work is taken up."""
        resumable = not fresh and not self.step.files
        for path in self.paths.values():
            mark = Path(path) / UNFINISHED
            resumable = resumable and mark.is_file() and _same(mark, self.wanted)
        if not resumable:
            self.discard()
        for output, path in self.paths.items():
            if output in self.step.files:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            else:
                Path(path).mkdir(parents=True, exist_ok=True)
                write_json(Path(path) / UNFINISHED, self.wanted)
        Path(self.log).mkdir(parents=True, exist_ok=True)
        return resumable

    def sweep(self) -> None:
        """Remove what a killed `--force` left beside outputs that are still right."""
        if any(os.path.lexists(path) for path in self.paths.values()):
            self.discard()

    def discard(self) -> None:
        """Remove what an earlier run left, after ending those of its jobs that a scheduler may still have."""
        if Path(self.log).is_dir():
            cancel_left(self.log)
        remove(self.log)
        for output, path in self.paths.items():
            remove(path)
            for name in (Path(output).name, Path(path).name):  # not seed10's beside seed1's: another run may be at it
                for left in Path(output).parent.glob(f".{glob.escape(name)}.removed-*"):
                    shutil.rmtree(left)

    def commit(self, about: dict[str, Any]) -> None:
        """Enter the outputs in the ledger and put them in their places.

        The records come first, into the partial outputs: killed from then on, the next run only has to rename.
        """
        records = {}
        for output, path in self.paths.items():
            if not Path(path).exists():
                raise EspretError(f"the commands of this step succeeded but did not write {path}")
            files = inventory(Path(path))
            records[output] = {"fingerprint": self.wanted, "digest": digest(files), "files": files, **about}
        for output, path in self.paths.items():
            if output not in self.step.files:
                write_json(Path(path) / RECORD, records[output])
        self.put_in_place()
        for output in self.step.files:
            write_json(record_path(output, True), records[output])

    def put_in_place(self) -> None:
        """Rename each partial output to its name, the old one away before."""
        for output, path in self.paths.items():
            if Path(path).exists():
                remove(output, then=path)
                if output not in self.step.files:
                    (Path(output) / UNFINISHED).unlink(missing_ok=True)

    def is_made(self) -> bool:
        """Whether an earlier run made these outputs for the same fingerprint and was killed while renaming them."""
        if self.step.files:
            return False
        made = []
        for output, path in self.paths.items():
            record = _record_in(Path(path)) or _record_in(Path(output))
            if record is None or record["fingerprint"] != self.wanted:
                return False
            made.append(record["started"])
        return len(set(made)) == 1 and any((Path(path) / RECORD).is_file() for path in self.paths.values())


def _record_in(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(read_json(folder / RECORD))
    except (EspretError, ValueError):
        return None


def _same(mark: Path, wanted: dict[str, Any]) -> bool:
    try:
        return bool(read_json(mark) == wanted)
    except EspretError:
        return False


def remove(output: str, then: str | None = None) -> None:
    """Remove an output, its record first; `then` takes its place before the files of the old one are deleted.

    A directory is renamed away, so that no half of it is ever seen.
    """
    path = Path(output)
    with contextlib.suppress(FileNotFoundError):
        record_path(output, True).unlink()
    gone = None
    if path.is_dir() and not path.is_symlink():
        gone = path.with_name(f".{path.name}.removed-{os.getpid()}")
        os.replace(path, gone)
    elif then is None:
        path.unlink(missing_ok=True)
    if then is not None:
        os.replace(then, path)
    if gone is not None:
        shutil.rmtree(gone)
