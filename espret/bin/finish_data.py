"""Write data_issues.tsv, drop the clips in it if they may go, and complete the data directories (stage 0, last step).

    espret finish-data [--allow-missing N] --work log/data --issues data/data_issues.tsv data/train data/test

Exit status 1 if more clips than allowed cannot be used; the directories are then left as they were.
"""

from __future__ import annotations

from espret.bin import parser
from espret.data.finish import finish_data


def main(argv: list[str]) -> int:
    options = parser("finish-data", __doc__)
    may_go = "how many clips may go, or which share of each split, e.g. 15%% (default 0)"
    options.add_argument("--allow-missing", default="0", metavar="N", help=may_go)
    options.add_argument("--work", required=True, metavar="DIR", help="where check-audio left its findings")
    options.add_argument("--issues", required=True, metavar="TSV", help="table of clips that cannot be used")
    options.add_argument("dirs", nargs="+", metavar="DIR")
    args = options.parse_args(argv)
    for line in finish_data(args.dirs, args.work, args.issues, args.allow_missing):
        print(line)
    return 0
