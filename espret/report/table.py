"""Results tables: the rows of results.jsonl as systems by metrics, in Markdown (RESULTS.md) and for a terminal.

`tables` makes the numbers (mean and standard deviation over seeds), the renderers only lay them out; the HTML report
renders the same `Table`. A table holds one clip list only: systems scored on different lists are never put side by
side, even where the split's name is the same.
"""

from __future__ import annotations

import shlex
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from espret.report.metrics import COLUMNS, TASKS, UNITS, Column
from espret.report.results import Row

HASH_PREFIX = 12  # hexadecimal digits of the clip list's hash that a table shows
NOT_AVAILABLE = "n/a"
PLAIN_WIDTH = 100  # characters in a line of the terminal table's prose


@dataclass(frozen=True)
class Cell:
    """Mean over seeds and standard deviation (n-1; None for one seed) in the metric's unit; `note` counts from 1."""

    mean: float | None
    sd: float | None = None
    note: int | None = None

    def text(self, column: Column) -> str:
        """`12.3`, `12.3 ± 0.4` or `n/a`, with `(1)` where a note belongs to it."""
        shown = NOT_AVAILABLE if self.mean is None else column.format(self.mean)
        if self.sd is not None:
            shown += f" ± {column.format(self.sd)}"
        return shown + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Line:
    """One row of a table: a system and its cells, one a column of the table; `note` counts from 1."""

    system: str
    seeds: list[int]
    cells: list[Cell]
    note: int | None = None

    @property
    def label(self) -> str:
        """The system, with `(1)` where a note belongs to it."""
        return self.system + (f" ({self.note})" if self.note else "")


@dataclass
class Table:
    """The systems of one task on one clip list."""

    corpus: str
    task: str
    split: str
    variant: str | None
    list_sha256: str
    n_clips: int
    n_captions: int
    columns: list[Column]
    listed: int | None = None
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def headings(self) -> list[tuple[str, int]]:
        """The headings over groups of neighbouring columns, each with its number of columns; [] without groups."""
        runs = [(name, len(list(columns))) for name, columns in groupby(self.columns, key=lambda column: column.group)]
        return runs if any(name for name, _ in runs) else []

    @property
    def over_seeds(self) -> bool:
        """Whether any number in the table is a mean over several seeds."""
        return any(len(line.seeds) > 1 for line in self.lines)

    def facts(self) -> str:
        """What the numbers were measured on, in one sentence."""
        variant = f", variant {self.variant}" if self.variant else ""
        of = f" of {self.listed:,}" if self.listed not in (None, self.n_clips) else ""
        return (
            f"{self.n_clips:,}{of} clips, {self.n_captions:,} captions; split {self.split}{variant}, "
            f"clip list {self.list_sha256[:HASH_PREFIX]}"
        )

    def units(self) -> str:
        """What the numbers mean, in one sentence."""
        spread = "; mean ± standard deviation (n-1) over seeds" if self.over_seeds else ""
        return UNITS[self.task] + spread


def tables(rows: Iterable[Row]) -> list[Table]:
    """One table for each (corpus, task, split, clip list), ordered by corpus, task (retrieval first) and split."""
    groups: dict[tuple[str, int, str, str, str, int, int], list[Row]] = {}
    for row in rows:
        variant = row.variant or ""
        key = (row.corpus, TASKS.index(row.task), row.split, variant, row.list_sha256, row.n_clips, row.n_captions)
        groups.setdefault(key, []).append(row)
    made = []
    for (corpus, task, split, variant, sha, n_clips, n_captions), members in sorted(groups.items()):
        scored = {row.metric for row in members}
        columns = [column for column in COLUMNS[TASKS[task]] if column.always or column.metric in scored]
        listed = members[0].listed
        table = Table(corpus, TASKS[task], split, variant or None, sha, n_clips, n_captions, columns, listed)
        for system in sorted({row.system for row in members}):
            _add_line(table, system, [row for row in members if row.system == system])
        made.append(table)
    return made


def _add_line(table: Table, system: str, rows: Sequence[Row]) -> None:
    seeds = sorted({row.seed for row in rows})
    leaks = sorted({row.leak for row in rows if row.leak})
    note = _note(table, "; ".join(leaks)) if leaks else None
    cells = []
    for column in table.columns:
        of_seed = {row.seed: row for row in rows if row.metric == column.metric}
        values = [row.value for _, row in sorted(of_seed.items()) if row.value is not None]
        reason = _why_incomplete(column.metric, seeds, of_seed)
        mean = statistics.fmean(values) if values else None
        sd = statistics.stdev(values) if len(values) > 1 else None
        cells.append(Cell(mean, sd, _note(table, reason) if reason else None))
    table.lines.append(Line(system, seeds, cells, note))


def _why_incomplete(metric: str, seeds: Sequence[int], of_seed: dict[int, Row]) -> str | None:
    """Why some or all seeds have no value of `metric`; None when every seed has one."""
    reasons: dict[str, list[int]] = {}
    for seed in seeds:
        if seed not in of_seed:
            reasons.setdefault(f"{metric} was not scored", []).append(seed)
        elif of_seed[seed].value is None:
            reasons.setdefault(of_seed[seed].unavailable or "no reason given", []).append(seed)
    if not reasons:
        return None
    parts = [
        reason if len(lacking) == len(seeds) else f"without seed {', '.join(map(str, lacking))}: {reason}"
        for reason, lacking in reasons.items()
    ]
    return "; ".join(parts)


def _note(table: Table, reason: str) -> int:
    if reason not in table.notes:
        table.notes.append(reason)
    return table.notes.index(reason) + 1


def command(root: Path, task: str, system: str, seeds: Sequence[int]) -> str:
    """The recipe's command that makes these numbers again, with the system's configuration found below `root`."""
    written = Path("conf") / task / f"{system}.yaml"
    resolved = Path("exp") / f"{task}_{system}" / f"seed{seeds[0]}" / "config.yaml"
    config = next((path for path in (written, resolved) if (root / path).is_file()), None)
    if config is None:
        return f"# {task} {system}: neither {written} nor {resolved} is here"
    listed = " ".join(map(str, seeds))
    words = ["./run.sh", "--stage", "0", "--stop-stage", "5", "--task", task, f"--{task}-config", str(config)]
    return shlex.join([*words, "--seeds", listed])


def commands(root: Path, made: Iterable[Table]) -> list[str]:
    """The commands behind `made`, each once, in the order of the tables."""
    found = [command(root, table.task, line.system, line.seeds) for table in made for line in table.lines]
    return list(dict.fromkeys(found))


def markdown(made: Sequence[Table], root: Path) -> str:
    """RESULTS.md: for each task one table a split, what it was measured on, and the commands that made it."""
    corpora = ", ".join(sorted({table.corpus for table in made}))
    parts = ["<!-- generated by `espret table`; do not edit -->", f"# Results: {md(corpora)}".rstrip(": ")]
    if not made:
        parts.append("No results yet.")
    for task in TASKS:
        of_task = [table for table in made if table.task == task]
        if of_task:
            parts.append(f"## {task.capitalize()}")
            for table in of_task:
                parts += [f"### {md(table.split)}", *_markdown_table(table)]
            parts.append("Made with:")
            parts.append("\n".join(["```sh", *commands(root, of_task), "```"]))
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> list[str]:
    header = ["system", "seeds", *(column.title for column in table.columns)]
    rule = [":--", "--:", *("--:" for _ in table.columns)]
    body = [
        [md(line.label), str(len(line.seeds)), *(cell.text(col) for cell, col in zip(line.cells, table.columns))]
        for line in table.lines
    ]
    parts = ["\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *body))]
    if table.notes:
        parts.append("\n".join(f"({number}) {md(note)}  " for number, note in enumerate(table.notes, 1)).rstrip())
    parts.append(f"{md(table.facts())}.\n{md(table.units())}.")
    return parts


def md(text: str) -> str:
    """`text` as Markdown that shows it literally, in a table cell too."""
    for mark in "\\`|<>*_[]":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return " ".join(text.split())


def plain(made: Sequence[Table]) -> str:
    """The tables for a terminal: aligned columns, notes and facts below each."""
    return "\n\n".join(_plain_table(table) for table in made) + "\n" if made else "No results yet.\n"


def _plain_table(table: Table) -> str:
    """Columns in groups (t2a, a2t) are put below each other, so that a table over seeds fits a terminal."""
    headings = table.headings()
    count = headings[0][1] if headings else len(table.columns)
    grid = [["system", "seeds", *[""][: len(headings)], *(column.name for column in table.columns[:count])]]
    for line in table.lines:
        texts = [cell.text(column) for cell, column in zip(line.cells, table.columns)]
        start = [line.label, str(len(line.seeds))]
        for place in range(0, len(texts), count):
            group = [table.columns[place].group][: len(headings)]
            grid.append([*start, *group, *texts[place : place + count]])
            start = ["", ""]
    widths = [max(map(len, column)) for column in zip(*grid)]
    text = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in grid]
    text.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    notes = [f"({number}) {note}" for number, note in enumerate(table.notes, 1)]
    prose = [textwrap.fill(f"{part}.", PLAIN_WIDTH, break_long_words=False) for part in (table.units(), table.facts())]
    return "\n".join([f"{table.corpus}, {table.task}, {table.split}", *text, *notes, *prose])
