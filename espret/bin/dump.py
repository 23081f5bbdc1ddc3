"""Dump a data directory's features: one shard of a system's (stage 1), or all of one front end or network.

    espret dump --config CONF --data data/train --out dump/logmel/train [--shard J/N] [--ngpu 1]
    espret dump --frontend cnn14 --data data/test --out dump/cnn14/test
    espret dump --frontend '{type: passt_s, output: frames}' --data data/test --out dump/passt/test

After the first form `espret merge-dump` puts the shards together; the second does so itself. A job that was killed goes
on where it was when it is called again.
"""

from __future__ import annotations

import argparse
import dataclasses

from espret.bin import parser
from espret.config import Features, load_system
from espret.errors import EspretError


def main(argv: list[str]) -> int:
    options = parser("dump", __doc__)
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", help="the system's YAML file; its features section is used")
    what.add_argument("--frontend", metavar="NAME", help="a front end or network, or {type: NAME, option: value}")
    options.add_argument(
        "--sample-rate", type=int, metavar="HZ", help="of --frontend (default: what it is made for; of any: 16000)"
    )
    options.add_argument("--dtype", choices=("float32", "float16", "flac"), help="of --frontend: what is stored")
    options.add_argument(
        "--precision", choices=("float32", "bfloat16", "float16"), help="of --frontend: of the network"
    )
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
    if args.config and (args.dtype or args.precision or args.sample_rate):
        options.error(
            "--dtype, --precision and --sample-rate are for --frontend; with --config its features section says"
        )
    features = _alone(args) if args.frontend else load_system(args.config).features
    from espret.audio.network import WrongRate
    from espret.features.dump import Dumped, dump
    from espret.features.merge import merge_dump
    from espret.training.distributed import choose_device

    device = choose_device(args.ngpu)

    def run(features: Features) -> Dumped:
        return dump(features, args.data, args.out, args.shard, device, args.batch_seconds, args.readers)

    try:
        count, resumed = run(features)
    except WrongRate as error:  # only the front end knows which it hears, some when their model has been read
        if args.config or args.sample_rate is not None:
            raise
        count, resumed = run(dataclasses.replace(features, sample_rate=error.needed))
    if args.frontend:
        merge_dump(args.out)
    earlier = f" ({resumed} of them by an earlier run)" if resumed else ""
    print(f"{args.data}: shard {args.shard}: {count} utterances dumped as {features.name}{earlier}")
    return 0


def _alone(args: argparse.Namespace) -> Features:
    """The features section of a front end that the command line names."""
    import yaml

    if args.shard != "1/1":
        raise EspretError(f"--shard {args.shard}: is for --config; --frontend dumps all at once", status=2)
    try:
        component = yaml.safe_load(args.frontend)
    except yaml.YAMLError:
        component = None
    if isinstance(component, str):
        component = {"type": component}
    if not isinstance(component, dict) or not isinstance(component.get("type"), str):
        expected = "a name such as cnn14, or {type: NAME, option: value}"
        raise EspretError(f"--frontend {args.frontend}: expected {expected}", status=2)
    rate = Features.sample_rate if args.sample_rate is None else args.sample_rate
    kept = {"dtype": args.dtype, "precision": args.precision}
    said = {name: value for name, value in kept.items() if value is not None}
    return Features(name=component["type"], frontend=component, sample_rate=rate, **said)
