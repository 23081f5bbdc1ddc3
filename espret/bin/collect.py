"""Gather the score records of experiments into results.jsonl: one row a (task, system, seed, split, metric).

SCORE_DIR is exp/<task>_<system>/seed<k>/score_<split>. The result depends on the records alone, so that collecting
twice gives the same bytes.
"""

from __future__ import annotations

from espret.bin import parser
from espret.report.results import collect, write_results


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit status."""
    options = parser("collect", __doc__)
    options.add_argument("--corpus", help="name to write as the corpus (default: that of the data directory)")
    options.add_argument("--out", required=True, metavar="FILE", help="results.jsonl to write")
    options.add_argument("score_dirs", nargs="+", metavar="SCORE_DIR")
    args = options.parse_args(argv)
    write_results(args.out, collect(args.score_dirs, args.corpus))
    return 0
