"""Write the data directories of a recipe's corpora, as its local/data.py describes them (stage 0).

    espret prepare --function local/data.py --split train=data/train --split test=data/test --corpus mini \\
        --work log/data --issues data/data_issues.tsv

Reads headers only; `espret check-audio` then decodes every clip, and `espret finish-data` completes the directories.
"""

from __future__ import annotations

from espret.bin import parser
from espret.bin.corpus_options import add_corpus_options, asked_of, split_dirs
from espret.data.prepare import prepare


def main(argv: list[str]) -> int:
    options = parser("prepare", __doc__)
    add_corpus_options(options)
    options.add_argument("--work", required=True, metavar="DIR", help="where the steps of stage 0 leave their findings")
    options.add_argument("--issues", required=True, metavar="TSV", help="table of clips that cannot be used")
    args = options.parse_args(argv)
    result = prepare(args.function, split_dirs(args.split), args.work, args.issues, args.corpus, asked_of(args))
    for split, clips in result.clips.items():
        bad = sum(issue.split == split and not issue.kept for issue in result.issues)
        print(f"{split}: {clips} clips" + (f", {bad} cannot be read" if bad else ""))
    if result.respaced:
        print(f"warning: {result.respaced} captions had line ends, tabs or runs of blanks, now one blank each")
    return 0
