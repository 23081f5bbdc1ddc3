"""What a scoring verb leaves in its score directory: scores.json (the set) and items.jsonl (every item)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import espret
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.files import write_json, write_jsonl


def read_references(path: str | Path) -> dict[str, list[str]]:
    """Clip -> captions in the order of utt2cap, of a data directory.

    Raises EspretError naming the file when it has no captions, and for a caption id without text.
    """
    data = DataDir.load(path)
    if not data.utt2cap:
        raise EspretError(f"{Path(path) / 'utt2cap'}: no captions to score against; prepare the data with captions")
    for captions in data.utt2cap.values():
        for caption in captions:
            if caption not in data.text:
                raise EspretError(f"{Path(path) / 'utt2cap'}: caption {caption} is not in {Path(path) / 'text'}")
    return {utt: [data.text[caption] for caption in data.utt2cap.get(utt, [])] for utt in data.utts}


def write_scores(
    out: str | Path,
    task: str,
    data: str | Path,
    counts: Mapping[str, int],
    metrics: Mapping[str, float | None],
    items: Iterable[Any],
    unavailable: Mapping[str, str] | None = None,
) -> None:
    """Write a score directory. `counts`: n_clips and n_captions; where a metric is None, `unavailable` says why."""
    folder = Path(out)
    write_jsonl(folder / "items.jsonl", items)
    record = {
        "task": task,
        "split": Path(data).name,
        "data": str(data),
        **counts,
        "metrics": dict(metrics),
        **({"unavailable": dict(unavailable)} if unavailable else {}),
        "espret": espret.__version__,
    }
    write_json(folder / "scores.json", record)


def summary(metrics: Mapping[str, float | None]) -> str:
    """The metrics on one line each, for the terminal."""
    width = max(map(len, metrics))
    return "\n".join(f"{name:<{width}}  {'-' if value is None else f'{value:.4f}'}" for name, value in metrics.items())
