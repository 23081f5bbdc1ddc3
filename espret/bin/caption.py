"""Stage 4, captioning: captions of a shard of a split by beam search, to hyp.J.jsonl in --out (see merge-captions)."""

from __future__ import annotations

from espret.decoding.verb import decoding_parser, load


def main(argv: list[str]) -> int:
    """`espret caption --exp EXP --data D --feats F --text T --shard J/N --out O`."""
    options = decoding_parser("caption", __doc__)
    options.add_argument("--shard", default="1/1", help="J/N: the J-th of N parts of the clips (default 1/1)")
    options.add_argument("--out", required=True, help="folder for hyp.J.jsonl")
    args = options.parse_args(argv)

    from espret.data.split import shard
    from espret.decoding.beam import Beam
    from espret.decoding.caption import caption_clips, write_shard

    it = load(args, Beam, captions=False)
    numbers = shard(list(range(len(it.split.utts))), args.shard)
    rows = caption_clips(it.network, it.split, numbers, it.tokenizer, it.decode, it.device)
    write_shard(rows, args.shard, args.data, args.out)
    print(f"caption: shard {args.shard}, {len(numbers)} clips")
    return 0
