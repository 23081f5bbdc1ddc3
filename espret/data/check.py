"""The second step of stage 0, an array job: decode every clip once and note those that cannot be used.

What a task has decoded is kept in a journal, so that one that was killed goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from espret.data.audio import inspect_clip, probe
from espret.data.datadir import DataDir
from espret.data.issues import Issue, shard_file
from espret.data.split import parse_shard, shard
from espret.data.tables import list_sha256
from espret.data.validate import SLACK
from espret.files import final_path, write_jsonl

JOURNAL_EVERY = 50  # recordings between two lines of the journal


class Recording(NamedTuple):
    """A sound file of a split with the stretches of it that are utterances: (utt, end in seconds or None)."""

    split: str
    path: str
    utts: tuple[tuple[str, float | None], ...]


def check_audio(dirs: Sequence[str | os.PathLike[str]], work: str | os.PathLike[str], spec: str) -> tuple[int, int]:
    """Decode the recordings of shard `spec` ("J/N") of all `dirs`; returns how many recordings and issues there are.

    What is wrong is left in `work`, atomically, with a first line that says which shard of which list this was.
    """
    j, n = parse_shard(spec)
    everything = recordings(dirs)
    mine = shard(everything, spec)
    head = {"shard": j, "shards": n, "recordings": len(mine), "list_sha256": recordings_sha256(everything)}
    journal = Path(f"{shard_file(work, j)}.journal")
    done, issues = _read_journal(journal, head)
    with _journal(journal, head, done) as stream:
        for start in range(done, len(mine), JOURNAL_EVERY):
            part = mine[start : start + JOURNAL_EVERY]
            found = [issue._asdict() for recording in part for issue in _check(recording)]
            issues += found
            stream.write(json.dumps({"recordings": len(part), "issues": found}) + "\n")
            stream.flush()
    write_jsonl(shard_file(work, j), [head, *issues])
    journal.unlink()
    return len(mine), sum(not issue["kept"] for issue in issues)


def _read_journal(path: Path, head: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """How many recordings an earlier, killed task of the same shard had decoded, and what it found."""
    rows = list(_whole_rows(path))
    if not rows or rows[0] != head:
        return 0, []
    return sum(row["recordings"] for row in rows[1:]), [issue for row in rows[1:] for issue in row["issues"]]


def _whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a journal up to one that was not written to its end."""
    if path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                return


def _journal(path: Path, head: dict[str, Any], done: int) -> IO[str]:
    """The journal, open to go on; begun anew, with only what is sure, so that no half line stays in the middle."""
    rows = list(_whole_rows(path)) if done else [head]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(path, rows)
    return open(path, "a", encoding="utf-8")


def recordings(dirs: Sequence[str | os.PathLike[str]]) -> list[Recording]:
    """Every sound file of the data directories, in the order of `dirs` and then of ids."""
    found = []
    for path in dirs:
        directory = DataDir.load(path)
        utts: dict[str, list[tuple[str, float | None]]] = {key: [] for key in directory.wav_scp}
        for utt in directory.utts if directory.wav_scp else ():
            segment = directory.segments.get(utt)
            utts[segment.recording if segment else utt].append((utt, segment.end if segment else None))
        split = split_name(path, directory)
        found += [Recording(split, directory.wav_scp[key], tuple(listed)) for key, listed in utts.items()]
    return found


def split_name(path: str | os.PathLike[str], directory: DataDir) -> str:
    """The name of the split in a data directory: what prepare was told, else the folder's final name."""
    return str(directory.about.get("split") or final_path(path).name)


def recordings_sha256(listed: Sequence[Recording]) -> str:
    """What identifies a list of recordings: the hash of their splits and paths."""
    return list_sha256(f"{recording.split} {recording.path}" for recording in listed)


def _check(recording: Recording) -> list[Issue]:
    reason, remark = inspect_clip(recording.path)
    said, kept = reason or remark, reason is None
    found = [Issue(recording.split, utt, recording.path, said, kept) for utt, _ in recording.utts] if said else []
    if reason or all(end is None for _, end in recording.utts):
        return found
    info = probe(recording.path)
    seconds = info.frames / info.sample_rate
    return found + [
        Issue(recording.split, utt, recording.path, f"segment ends at {end:.3f} s, the recording at {seconds:.3f} s")
        for utt, end in recording.utts
        if end is not None and end > seconds + SLACK
    ]


def work_files(work: str | os.PathLike[str]) -> list[Path]:
    """The files that the tasks have left in `work`, in the order of the shards."""
    return sorted(Path(work).glob("issues.[0-9]*.jsonl"), key=lambda path: int(path.name.split(".")[1]))
