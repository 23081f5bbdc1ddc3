"""Dump one shard of a data directory's features (stage 1).

    espret dump --config CONF --data data/train --out dump/logmel/train [--shard J/N] [--ngpu 1]

Then `espret merge-dump` puts the shards together. A job that was killed goes on where it was when it is called again.
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
    options.add_argument("--ngpu", type=int, choices=(0, 1), default=0, help="0: CPU (default), 1: GPU")
    options.add_argument(
        "--batch-seconds",
        type=float,
        metavar="S",
        help="sound computed together; 0: one clip (default: 600 on a GPU, one clip on the CPU)",
    )
    options.add_argument(
        "--readers", type=int, metavar="N", help="threads that read sound ahead (default: 8 for a GPU, 1 on the CPU)"
    )
    args = options.parse_args(argv)
    if (args.readers is not None and args.readers < 1) or (args.batch_seconds is not None and args.batch_seconds < 0):
        options.error("--readers is at least 1, --batch-seconds at least 0")
    features = load_system(args.config).features
    from espret.features.dump import dump
    from espret.training.distributed import choose_device

    device = choose_device(args.ngpu)
    count, resumed = dump(features, args.data, args.out, args.shard, device, args.batch_seconds, args.readers)
    earlier = f" ({resumed} of them by an earlier run)" if resumed else ""
    print(f"{args.data}: shard {args.shard}: {count} utterances dumped as {features.name}{earlier}")
    return 0
