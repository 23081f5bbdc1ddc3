"""Stage 4, captioning: merge the shards that `espret caption` left in a folder to hyp.jsonl, if each clip is there."""

from __future__ import annotations

from espret.bin import parser


def main(argv: list[str]) -> int:
    """`espret merge-captions O`."""
    options = parser("merge-captions", __doc__)
    options.add_argument("out", help="folder with the shards")
    args = options.parse_args(argv)

    from espret.decoding.caption import merge

    print(f"merge-captions: {merge(args.out)} clips")
    return 0
