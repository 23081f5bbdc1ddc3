"""Which metrics a table shows, in which order, under which name and with how many digits. Computes nothing.

A metric that a score record holds and that is not listed here stays in results.jsonl; it is only not tabulated.
"""

from __future__ import annotations

from dataclasses import dataclass

from espret import training
from espret.training import CAPTIONING, RETRIEVAL

TASKS = tuple(training.TASKS)  # in the order of the tables


@dataclass(frozen=True)
class Column:
    """One metric in a table. `group` is the heading that neighbouring columns share ("" for none)."""

    metric: str
    name: str
    digits: int
    group: str = ""
    always: bool = True  # else only in tables some of whose systems have it

    @property
    def title(self) -> str:
        """The name with its group, for tables that have one heading line."""
        return f"{self.group} {self.name}".strip()

    def format(self, value: float) -> str:
        """`value` with this column's number of digits."""
        return f"{value:.{self.digits}f}"


def _direction(group: str) -> list[Column]:
    names = ["R@1", "R@5", "R@10", "mAP@10", "MedR"]
    return [Column(f"{group}/{name}", name, 1, group) for name in names]


COLUMNS: dict[str, list[Column]] = {
    RETRIEVAL: _direction("t2a") + _direction("a2t"),
    CAPTIONING: [
        *(Column(name, name, 3) for name in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D", "SPICE", "SPIDEr")),
        *(Column(name, name, 3, always=False) for name in ("SPIDEr-max", "SPIDEr-FL", "FENSE")),
    ],
}

UNITS = {
    RETRIEVAL: "R@k and mAP@10 in percent, MedR is a rank (from 1); t2a: a sentence finds its clip, "
    "a2t: a clip finds one of its sentences",
    CAPTIONING: "Fractions, as the metrics' authors define them; SPIDEr is the mean of CIDEr-D and SPICE",
}


def metric_order(task: str, metric: str) -> tuple[int, str]:
    """Sort key: the metrics of a table in its order, then all others by name."""
    known = [column.metric for column in COLUMNS.get(task, [])]
    return (known.index(metric) if metric in known else len(known), metric)
