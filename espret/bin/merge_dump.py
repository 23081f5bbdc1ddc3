"""Put the shards of a feature directory together and check that no utterance is missing (stage 1).

espret merge-dump dump/logmel/train
"""

from __future__ import annotations

from espret.bin import parser
from espret.features.merge import merge_dump
from espret.files import final_path


def main(argv: list[str]) -> int:
    options = parser("merge-dump", __doc__)
    options.add_argument("out", help="feature directory that `espret dump` has written its shards to")
    args = options.parse_args(argv)
    print(f"{final_path(args.out)}: features of {merge_dump(args.out)} utterances")
    return 0
