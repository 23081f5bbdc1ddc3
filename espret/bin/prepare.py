"""Write the data directories of a corpus from its recipe's local/data.py (stage 0, first step).

    espret prepare --function local/data.py --split train=data/train --split test=data/test --corpus mini \\
        --work log/data --issues data/data_issues.tsv

Reads headers only; `espret check-audio` then decodes every clip, and `espret finish-data` completes the directories.
"""

from __future__ import annotations

from espret.bin import parser
from espret.data.prepare import prepare
from espret.errors import EspretError


def main(argv: list[str]) -> int:
    options = parser("prepare", __doc__)
    options.add_argument("--function", required=True, metavar="FILE", help="Python file that defines clips()")
    options.add_argument("--split", required=True, action="append", metavar="NAME=DIR", help="a split, once for each")
    options.add_argument("--corpus", required=True, help="name of the corpus, for about.json")
    options.add_argument("--variant", default="", help="name of the split variant, for about.json")
    options.add_argument("--work", required=True, metavar="DIR", help="where the steps of stage 0 leave their findings")
    options.add_argument("--issues", required=True, metavar="TSV", help="table of clips that cannot be used")
    args = options.parse_args(argv)
    splits: dict[str, str] = {}
    for word in args.split:
        name, _, directory = word.partition("=")
        if not name or not directory or name in splits:
            raise EspretError(f"--split {word}: expected NAME=DIR, each name once", status=2)
        splits[name] = directory
    result = prepare(args.function, splits, args.work, args.issues, args.corpus, args.variant)
    for split, clips in result.clips.items():
        bad = sum(issue.split == split for issue in result.issues)
        print(f"{split}: {clips} clips" + (f", {bad} cannot be read" if bad else ""))
    if result.respaced:
        print(f"warning: {result.respaced} captions had line ends, tabs or runs of blanks, now one blank each")
    return 0
