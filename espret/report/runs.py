"""What an experiment's folder says of its training: metrics.jsonl as curves, and the resolved configuration.

A folder without metrics.jsonl (a pretrained system) has no curves; drawing them is `curves`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espret.errors import EspretError
from espret.files import read_jsonl
from espret.report.metrics import metric_order

MOST_METRICS = 5  # validation metrics drawn for a system, beside the loss


@dataclass(frozen=True)
class Curve:
    """One quantity over epochs: `points` are (epoch, value), of finite values only."""

    name: str
    seed: int
    points: list[tuple[int, float]]
    training: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes."""

    title: str
    curves: list[Curve]


@dataclass(frozen=True)
class History:
    """The training of one seed: the rows of metrics.jsonl, in the order of the epochs."""

    seed: int
    rows: list[dict[str, Any]]

    def facts(self) -> str:
        """Length, time (validation included), speed and peak memory of the training, in one line."""
        parts = [f"{len(self.rows)} epochs"]
        if seconds := self._numbers("seconds"):
            parts.append(duration(sum(seconds) + sum(self._numbers("valid_seconds"))))
        if speeds := self._numbers("clips_per_second"):
            parts.append(f"{statistics.median(speeds):,.0f} clips/s")
        if memory := self._numbers("memory_gb"):
            parts.append(f"{max(memory):.1f} GB")
        return ", ".join(parts)

    def _numbers(self, name: str) -> list[float]:
        """The rows' values of `name`, where they are there: rows of an older espret have fewer."""
        return [row[name] for row in self.rows if isinstance(row.get(name), (int, float))]

    def points(self, part: str, metric: str) -> list[tuple[int, float]]:
        """(epoch, value) of `metric` in the rows' `part` ("train", "valid"), where it is there and finite."""
        pairs = [(row["epoch"], (row.get(part) or {}).get(metric)) for row in self.rows]
        return [(epoch, value) for epoch, value in pairs if isinstance(value, (int, float)) and math.isfinite(value)]


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s` or `2 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def read_history(run: Path, seed: int) -> History | None:
    """The training history of a seed's folder, None where it has none. Raises EspretError for a malformed row."""
    file = run / "metrics.jsonl"
    if not file.is_file():
        return None
    rows = read_jsonl(file)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("epoch"), int):
            raise EspretError(f'{file}:{number}: expected {{"epoch": N, "train": .., "valid": ..}}, found {row!r:.60}')
    return History(seed, sorted(rows, key=lambda row: row["epoch"]))


def charts(task: str, histories: Sequence[History]) -> list[Chart]:
    """The loss (training and validation), then one chart a validation metric; a chart has one curve a seed."""
    loss = [
        Curve(name, history.seed, history.points(name, "loss"), name == "train")
        for history in histories
        for name in ("train", "valid")
    ]
    names = {name for history in histories for row in history.rows for name in row.get("valid") or {}} - {"loss"}
    made = [Chart("loss", loss)]
    for name in sorted(names, key=lambda metric: metric_order(task, metric))[:MOST_METRICS]:
        made.append(Chart(f"valid {name}", [Curve("valid", h.seed, h.points("valid", name)) for h in histories]))
    drawable = [Chart(chart.title, [curve for curve in chart.curves if curve.points]) for chart in made]
    return [chart for chart in drawable if chart.curves]
