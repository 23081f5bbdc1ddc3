"""Make the results tables: RESULTS.md from results.jsonl, and the same numbers for the terminal (--print).

The commands it names are found from the configurations (conf/, exp/) in the folder that holds results.jsonl.
"""

from __future__ import annotations

from pathlib import Path

from espret.bin import parser
from espret.files import write_text
from espret.report.results import read_results
from espret.report.table import markdown, plain, tables


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit status."""
    options = parser("table", __doc__)
    options.add_argument("--results", required=True, metavar="FILE", help="results.jsonl, from `espret collect`")
    options.add_argument("--out", metavar="FILE", help="RESULTS.md to write")
    options.add_argument("--print", action="store_true", help="print the tables, aligned for a terminal")
    args = options.parse_args(argv)
    if not args.out and not args.print:
        options.error("nothing to do: give --out FILE, --print, or both")
    made = tables(read_results(args.results))
    if args.out:
        write_text(args.out, markdown(made, Path(args.results).parent))
    if args.print:
        print(plain(made), end="")
    return 0
