"""Make report.html: results, learning curves and examples to listen to, in one file that needs no network.

SCORE_DIR is exp/<task>_<system>/seed<k>/score_<split>; its items.jsonl gives the examples, metrics.jsonl and
config.yaml in its seed's folder the curves and the configuration.
"""

from __future__ import annotations

from pathlib import Path

from espret.bin import parser
from espret.files import write_text
from espret.report.results import read_results, score_dirs


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit status."""
    options = parser("report", __doc__)
    options.add_argument("--results", required=True, metavar="FILE", help="results.jsonl, from `espret collect`")
    options.add_argument("--out", required=True, metavar="FILE", help="report.html to write")
    options.add_argument(
        "--examples", type=int, default=3, help="examples of each kind: best, typical, worst (default 3)"
    )
    options.add_argument("--audio-mb", type=float, default=8.0, help="most sound in the file, in MB (default 8)")
    options.add_argument("score_dirs", nargs="*", metavar="SCORE_DIR")
    args = options.parse_args(argv)
    if args.examples < 0 or args.audio_mb < 0:
        options.error("--examples and --audio-mb must not be negative")
    rows, scored = read_results(args.results), score_dirs(args.score_dirs)
    from espret.report.page import render  # audio and drawing: only once the arguments are known to be good

    page = render(rows, scored, Path(args.results).parent, args.examples, int(args.audio_mb * 1e6))
    write_text(args.out, page)
    return 0
