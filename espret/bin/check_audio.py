"""Decode every clip of some data directories once, one shard a task (stage 0, second step).

    espret check-audio --shard J/N --work log/data data/train data/test

Clips that cannot be used are noted in the work folder; `espret finish-data` decides what becomes of them.
"""

from __future__ import annotations

from espret.bin import parser
from espret.data.check import check_audio


def main(argv: list[str]) -> int:
    options = parser("check-audio", __doc__)
    options.add_argument("--shard", default="1/1", metavar="J/N", help="which part of the clips (default all)")
    options.add_argument("--work", required=True, metavar="DIR", help="where `espret prepare` left its findings")
    options.add_argument("dirs", nargs="+", metavar="DIR")
    args = options.parse_args(argv)
    checked, issues = check_audio(args.dirs, args.work, args.shard)
    print(f"shard {args.shard}: {checked} recordings decoded, {issues} clips cannot be used")
    return 0
