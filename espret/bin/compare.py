"""Compare systems scored on one test set: confidence intervals, and for each pair the difference and its p-values.

A system is a score directory (exp/<task>_<system>/seed<k>/score_<split>, or any folder with scores.json and
items.jsonl) or the folder of an experiment (exp/<task>_<system>), which stands for all its seeds. Intervals and tests
resample the clips of the test set; what each number is stands below the table. Systems that were not scored on the same
clips and references are refused.
"""

from __future__ import annotations

import argparse

from espret.bin import natural, parser, positive
from espret.files import write_json, write_text
from espret.report.comparison import as_json, markdown, plain
from espret.scoring.statistics.compare import compare, read_systems


def main(argv: list[str]) -> int:
    """Compare, print and write; always 0."""
    options = parser("compare", __doc__)
    options.add_argument("systems", nargs="+", metavar="SYSTEM", help="score directory, or folder of an experiment")
    options.add_argument("--split", default="test", help="split whose scores an experiment's folder stands for (test)")
    options.add_argument("--metrics", nargs="+", metavar="NAME", help="only these; all")
    options.add_argument("--resamples", type=positive, default=10_000, metavar="N", help="of each kind (10000)")
    options.add_argument("--confidence", type=_fraction, default=0.95, metavar="P", help="of the intervals (0.95)")
    options.add_argument("--seed", type=natural, default=0, help="of the resampling; equal seeds, equal numbers (0)")
    options.add_argument("--out", metavar="FILE", help="JSON to write: all numbers, and the values of every seed")
    options.add_argument("--markdown", metavar="FILE", help="Markdown to write: the table")
    values = options.parse_args(argv)
    systems = read_systems(values.systems, values.split)
    comparison = compare(systems, values.metrics, values.resamples, values.confidence, values.seed)
    print(plain(comparison), end="")
    if values.out:
        write_json(values.out, as_json(comparison))
    if values.markdown:
        write_text(values.markdown, markdown(comparison))
    return 0


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{value}: expected a number between 0 and 1")
    return value
