"""Bring the files of a recipe's corpora: from a folder or the web, verified, extracted (stage 0, before `prepare`).

    espret fetch-corpus --function local/data.py --split train=data/train --corpus clotho [--archives DIR]

What is there already is left alone. Runs on this machine, never as a job: compute nodes often have no connection.
"""

from __future__ import annotations

from espret.bin import parser
from espret.bin.corpus_options import add_corpus_options, asked_of
from espret.data.local import corpora, shares


def main(argv: list[str]) -> int:
    options = parser("fetch-corpus", __doc__)
    add_corpus_options(options)
    args = options.parse_args(argv)
    for corpus, part in shares(corpora(args.function, args.corpus), asked_of(args)):
        corpus.fetch(part)
        print(f"{corpus.name}: everything is there for {', '.join(part.splits)}")
    return 0
