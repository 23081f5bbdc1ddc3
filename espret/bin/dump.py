"""Dump one shard of a data directory's features (stage 1).

    espret dump --config CONF --data data/train --out dump/logmel/train [--shard J/N]

Then `espret merge-dump` puts the shards together.
"""

from __future__ import annotations

from espret.bin import parser
from espret.config import load_system


def main(argv: list[str]) -> int:
    options = parser("dump", __doc__)
    options.add_argument("--config", required=True, help="the system's YAML file; its features section is used")
    options.add_argument("--data", required=True, help="data directory")
    options.add_argument("--out", required=True, help="feature directory")
    options.add_argument("--shard", default="1/1", metavar="J/N", help="which part of the utterances (default all)")
    args = options.parse_args(argv)
    features = load_system(args.config).features
    from espret.features.dump import dump

    count = dump(features, args.data, args.out, args.shard)
    print(f"{args.data}: shard {args.shard}: {count} utterances dumped as {features.name}")
    return 0
