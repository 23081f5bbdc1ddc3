"""Parse captions for SPICE ahead of scoring, so that score-captions finds them in the store.

Captions are parsed once ever, by whichever process comes first; this spreads the work over the jobs of an array, on one
machine or on many that share the store. It writes nothing else.
"""

from __future__ import annotations

import argparse

from espret.bin import parser, positive
from espret.data.split import shard
from espret.scoring.inputs import read_hyps, read_nbest, read_references
from espret.scoring.ptb.tokenizer import tokenise
from espret.scoring.spice.metric import tuples_of


def main(argv: list[str]) -> int:
    """Parse; 0. Without SPICE's parser there is nothing to do, which score-captions then says."""
    options = _options(argv)
    captions: set[str] = set()
    for path in options.hyp:
        captions.update(row["caption"] for row in read_hyps(path).values())
        if options.nbest:
            captions.update(caption for of_clip in read_nbest(path).values() for caption in of_clip)
    for path in options.ref:
        captions.update(caption for of_clip in read_references(path).values() for caption in of_clip)
    mine = shard(sorted(set(tokenise(sorted(captions)))), options.shard)
    tuples_of(mine, threads=options.threads)
    print(f"{len(mine)} distinct captions are in the store")
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    options = parser("parse-captions", __doc__)
    options.add_argument("--hyp", nargs="*", default=[], help="hyp.jsonl files")
    options.add_argument("--nbest", action="store_true", help="the nbest of their rows too (for SPIDEr-max)")
    options.add_argument("--ref", nargs="*", default=[], help="data directories with captions")
    options.add_argument("--shard", default="1/1", help="J/N: this job's share of the captions")
    options.add_argument("--threads", type=positive, help="parser threads; the cores that this process may use")
    return options.parse_args(argv)
