"""Pictures of a run: for each quantity a PNG of its values by epoch, training and validation in one, the best marked.

For looking at while a run is under way; the report page draws its own, of all seeds (espret/report/curves.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espret.files import atomic_write
from espret.report.runs import History

STYLES = {"train": ("tab:gray", "--"), "valid": ("tab:blue", "-")}
FEW = 40  # points that are drawn as dots, too


def draw(history: Sequence[dict[str, Any]], best: int, folder: Path) -> None:
    """Write `folder`/QUANTITY.png for every quantity that training or validation measured; `best`: an epoch."""
    # Here, for it takes most of a second, and without pyplot, which keeps figures and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = History(0, list(history))
    names = dict.fromkeys(name for row in history for part in STYLES for name in row.get(part) or {})
    for name in names:
        curves = {part: points for part in STYLES if (points := rows.points(part, name))}
        if not curves:
            continue
        figure = Figure(figsize=(6.4, 4.0), dpi=100)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for part, points in curves.items():
            marker = "." if len(points) <= FEW else ""
            axes.plot(*zip(*points), label=part, marker=marker, color=STYLES[part][0], linestyle=STYLES[part][1])
        axes.axvline(best, color="tab:red", linewidth=1, linestyle=":", label=_best(curves, best))
        axes.set_title(name, parse_math=False)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
        with atomic_write(folder / f"{file_name(name)}.png", "wb") as stream:
            figure.savefig(stream, format="png")


def _best(curves: dict[str, list[tuple[int, float]]], best: int) -> str:
    value = dict(curves.get("valid", [])).get(best)
    return f"best: epoch {best}" + ("" if value is None else f", {value:.4g}")


def file_name(metric: str) -> str:
    """`t2a/R@1` -> `t2a_R@1`: a name without folders, and neither hidden nor an option."""
    return re.sub(r"^[.-]|[^\w@+.,=-]", "_", metric)
