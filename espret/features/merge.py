"""Putting the shards of a feature directory together: one feats.scp, utt2num_frames, about.json, checked complete."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from espret.data.tables import list_sha256, read_table, some, write_table
from espret.errors import EspretError
from espret.files import CONTENT, read_json, sha256_text, write_json, write_text

DUMP_AGAIN = "mend: ./run.sh --stage 1 --stop-stage 1"


def merge_dump(out: str | os.PathLike[str]) -> int:
    """Merge the shards in directory `out` and remove their lists (the arks stay); returns the number of utterances.

    Raises EspretError where a shard is missing, shards do not belong together (another configuration or data
    directory), or the utterances are not those of the data directory, each once. Run again on what is merged, it does
    nothing; what an earlier dump with more shards left is removed.
    """
    root = Path(out)
    if (root / "about.json").exists():  # written last, below: only leftovers can remain
        merged = read_table(root / "feats.scp")
        _remove_shards(root, merged)
        return len(merged)
    about = _about(root)
    shards = range(1, about.pop("shards") + 1)
    expected_sha256 = about.pop("all_sha256")
    rows = _joined([root / f"feats.{j}.scp" for j in shards])
    frames = _joined([root / f"utt2num_frames.{j}" for j in shards])
    if list_sha256(rows) != expected_sha256 or rows.keys() != frames.keys():
        raise EspretError(
            f"{root}: {len(rows)} utterances that are not those of the data directory; {DUMP_AGAIN} --force"
        )
    write_table(root / "feats.scp", rows)
    hashes = _joined([root / f"utt2sha256.{j}" for j in shards])
    made = {key: about[key] for key in ("frontend", "options", "sample_rate")}
    write_text(root / CONTENT, sha256_text(json.dumps([made, sorted(hashes.items())], sort_keys=True)) + "\n")
    write_table(root / "utt2num_frames", frames)
    write_json(root / "about.json", about | {"utterances": len(rows), "list_sha256": expected_sha256})
    _remove_shards(root, rows)
    return len(rows)


def _about(root: Path) -> dict[str, Any]:
    """What shard 1 says of itself, checked: all its sisters are there and say the same."""
    first = root / "about.1.json"
    if not first.exists():
        raise EspretError(f"{root}: no shard of features (expected {first.name}); {DUMP_AGAIN}")
    about = read_json(first)
    count = about["shards"]
    missing = [str(j) for j in range(1, count + 1) if not (root / f"feats.{j}.scp").exists()]
    if missing:
        raise EspretError(f"{root}: {len(missing)} of {count} shards missing: {some(missing)}; {DUMP_AGAIN}")
    for j in range(2, count + 1):
        other = read_json(root / f"about.{j}.json")
        differ = sorted(key for key in about if key != "utterances" and other.get(key) != about[key])
        if differ:
            raise EspretError(
                f"{root}: shards 1 and {j} do not belong together: {differ[0]} is {about[differ[0]]!r} and "
                f"{other.get(differ[0])!r}; {DUMP_AGAIN} --force"
            )
    return about


def _joined(paths: list[Path]) -> dict[str, str]:
    """The rows of several tables. Raises EspretError for a key that two of them have."""
    joined: dict[str, str] = {}
    for path in paths:
        rows = read_table(path)
        twice = sorted(rows.keys() & joined.keys())
        if twice:
            raise EspretError(f"{path}: utterances of another shard too: {some(twice)}; {DUMP_AGAIN} --force")
        joined.update(rows)
    return joined


def _remove_shards(root: Path, rows: dict[str, str]) -> None:
    """Remove the shards' lists, arks that no row names, and what killed tasks were writing."""
    used = {os.path.basename(value.rpartition(":")[0]) for value in rows.values()}
    for path in root.iterdir():
        unused_ark = re.fullmatch(r"feats\.[0-9]+\.ark", path.name) and path.name not in used
        if unused_ark or re.fullmatch(
            r"feats\.[0-9]+\.scp|utt2num_frames\.[0-9]+|utt2sha256\.[0-9]+|about\.[0-9]+\.json|\..+\.tmp", path.name
        ):
            path.unlink()
