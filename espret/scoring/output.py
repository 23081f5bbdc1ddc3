"""What a scoring verb leaves in its score directory: scores.json (the set) and items.jsonl (every item)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import espret
from espret.files import write_json, write_jsonl


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
