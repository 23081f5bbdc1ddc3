"""A comparison of systems (espret.scoring.statistics.compare) as a table for the terminal, as Markdown, and as JSON.

Says below the numbers how they were computed; computes none.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Any

import espret
from espret.report.metrics import COLUMNS
from espret.report.table import PLAIN_WIDTH, md
from espret.scoring.statistics.compare import Comparison, Difference, Estimate, Row
from espret.training import CAPTIONING, RETRIEVAL

EXTRA_DIGITS = 1  # beyond those of the results tables, where differences drown
DIGITS = {column.metric: column.digits + EXTRA_DIGITS for columns in COLUMNS.values() for column in columns}
OTHER_DIGITS = {RETRIEVAL: 2, CAPTIONING: 4}
FROM_SUMS = ("BLEU", "METEOR")


def plain(comparison: Comparison) -> str:
    """For a terminal: what was compared, the table in aligned columns, what was left out, how it was computed."""
    grid = _grid(comparison)
    widths = [max(map(len, column)) for column in zip(*grid)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row[:2], widths)), *map(str.rjust, row[2:], widths[2:])])
        for row in grid
    ]
    lines.insert(1, "-" * len(lines[0]))
    notes = [textwrap.fill(note, PLAIN_WIDTH, break_long_words=False) for note in _notes(comparison)]
    return "\n".join([_facts(comparison), "", *map(str.rstrip, lines), "", *notes]) + "\n"


def markdown(comparison: Comparison) -> str:
    """The same as a Markdown table and a list."""
    head, *body = [[md(cell) for cell in row] for row in _grid(comparison)]
    rules = ["---", "---", *["---:"] * (len(head) - 2)]
    lines = ["| " + " | ".join(row) + " |" for row in (head, rules, *body)]
    notes = [f"- {md(note)}" for note in _notes(comparison)]
    return "\n".join([md(_facts(comparison)), "", *lines, "", *notes]) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All numbers, by metric; a difference's `first` and `second` count the systems from 0."""
    one = comparison.systems[0].runs[0]
    return {
        **{name: getattr(one, name) for name in ("task", "split", "n_clips", "n_captions", "list_sha256")},
        **{name: getattr(comparison, name) for name in ("resamples", "confidence", "seed")},
        "systems": [
            {
                "name": system.name,
                "folders": [str(run.folder) for run in system.runs],
                "seeds": [run.seed for run in system.runs],
                "unscored": system.unscored,
            }
            for system in comparison.systems
        ],
        "metrics": {
            row.metric: {
                "systems": [asdict(estimate) for estimate in row.estimates],
                "pairs": [asdict(difference) for difference in row.differences],
            }
            for row in comparison.rows
        },
        "left_out": comparison.left_out,
        "method": _method(comparison),
        "espret": espret.__version__,
    }


def _facts(comparison: Comparison) -> str:
    one = comparison.systems[0].runs[0]
    return f"{one.task}, {one.split}: {one.n_clips:,} clips, {one.n_captions:,} captions"


def _grid(comparison: Comparison) -> list[list[str]]:
    """Heading and rows as texts: for each metric its systems, then its pairs; no column that would be empty."""
    several = any(len(system.runs) > 1 for system in comparison.systems)
    tested = any(difference.p_welch is not None for row in comparison.rows for difference in row.differences)
    head = ["metric", "system", "value", f"{100 * comparison.confidence:g} % interval"]
    head += ["p bootstrap", "p randomisation"] if len(comparison.systems) > 1 else []
    head += ["SD over seeds"] if several else []
    head += ["p over seeds"] if tested else []
    grid = [head]
    for row in comparison.rows:
        lines = _lines(comparison, row, several, tested)
        grid += [[name, *line] for name, line in zip([row.metric, *[""] * len(lines)], lines)]
    return grid


def _lines(comparison: Comparison, row: Row, several: bool, tested: bool) -> list[list[str]]:
    names = [system.name for system in comparison.systems]
    digits = DIGITS.get(row.metric, OTHER_DIGITS[comparison.systems[0].runs[0].task])
    pairs = len(names) > 1
    lines = [
        [name, *_ends(one, digits), *["", ""][: 2 * pairs], *[_sd(one, digits)][:several], *[""][:tested]]
        for name, one in zip(names, row.estimates)
    ]
    for one in row.differences:
        p_values = [f"{one.p_bootstrap:.4f}", f"{one.p_randomisation:.4f}"]
        welch = "" if one.p_welch is None else f"{one.p_welch:.4f}"
        name = f"{names[one.second]} - {names[one.first]}"
        lines.append([name, *_ends(one, digits, "+"), *p_values, *[""][:several], *[welch][:tested]])
    return lines


def _ends(one: Estimate | Difference, digits: int, sign: str = "") -> list[str]:
    value, low, high = (f"{number:{sign}.{digits}f}" for number in (one.value, one.low, one.high))
    return [value, f"{low} to {high}"]


def _sd(one: Estimate, digits: int) -> str:
    return "" if one.sd is None else f"{one.sd:.{digits}f} ({len(one.runs)})"


def _notes(comparison: Comparison) -> list[str]:
    """Systems that are more than one run, what was left out, and how the numbers were computed."""
    notes = []
    for system in comparison.systems:
        seeds = ", ".join(str(run.seed) for run in system.runs)
        without = f"; without seed {', '.join(map(str, system.unscored))}: not scored" if system.unscored else ""
        if len(system.runs) > 1 or without:
            notes.append(f"{system.name}: mean over seeds {seeds}{without}.")
    for reason in dict.fromkeys(comparison.left_out.values()):
        names = ", ".join(name for name, other in comparison.left_out.items() if other == reason)
        notes.append(f"Left out: {names}: {reason}.")
    return notes + _method(comparison)


def _method(comparison: Comparison) -> list[str]:
    one = comparison.systems[0].runs[0]
    metrics = [row.metric for row in comparison.rows]
    several = any(len(system.runs) > 1 for system in comparison.systems)
    method = [
        f"Interval: percentile bootstrap over clips, {comparison.resamples:,} resamples, seed {comparison.seed} (Efron"
        " and Tibshirani 1993). It holds the chance in the choice of clips, not that of training."
    ]
    if len(comparison.systems) > 1:
        method += _tests(several)
    if one.task == RETRIEVAL:
        method.append("A clip is drawn or exchanged with all its captions, for these are not independent.")
        method.append("The candidates of a query stay those of the whole set: its rank is the one that was scored.")
    if any(name.startswith(FROM_SUMS) for name in metrics):
        method.append("BLEU and METEOR of a resample are exact: they are computed from the sums of its items' counts.")
    if any(name.startswith(("CIDEr", "SPIDEr")) for name in metrics):
        method.append("CIDEr-D of an item keeps the document frequencies of the whole set in every resample.")
    return method


def _tests(several: bool) -> list[str]:
    tests = [
        "p bootstrap: paired bootstrap, the same clips drawn for both systems (Koehn 2004), two-sided, the distribution"
        " moved to a difference of 0.",
        "p randomisation: approximate randomisation, a clip's two outputs exchanged with probability 1/2 (Noreen 1989;"
        " Riezler and Maxwell 2005), two-sided.",
        "Both are (hits + 1) / (resamples + 1), and not corrected for the number of metrics and pairs.",
    ]
    if several:
        tests.append(
            "Several seeds: intervals and tests are of the mean over seeds, seeds held fixed (exchanged together; BLEU,"
            " METEOR and MedR then those of all seeds' outputs taken together). p over seeds: Welch's t-test on the"
            " values of the seeds, with three or more of each."
        )
    return tests
