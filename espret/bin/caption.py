"""Stage 4, captioning: captions of a shard of a split by beam search, to hyp.J.jsonl in --out (see merge-captions)."""

from __future__ import annotations

from espret.bin import parser


def main(argv: list[str]) -> int:
    """`espret caption --exp EXP --data D --feats F --text T --shard J/N --out O`."""
    options = parser("caption", __doc__)
    options.add_argument("--exp", required=True, help="experiment folder (stage 3)")
    options.add_argument("--config", help="system file whose decode section is used (default: the experiment's)")
    options.add_argument("--data", required=True, help="data directory to caption")
    options.add_argument("--feats", required=True, help="its features (stage 1)")
    options.add_argument("--text", required=True, help="tokenizer folder (stage 2)")
    options.add_argument("--ngpu", type=int, default=0, help="0: CPU (default), 1: GPU")
    options.add_argument("--shard", default="1/1", help="J/N: the J-th of N parts of the clips (default 1/1)")
    options.add_argument("--out", required=True, help="folder for hyp.J.jsonl")
    args = options.parse_args(argv)

    from espret.config import check, load_system
    from espret.data.split import shard
    from espret.decoding.beam import Beam
    from espret.decoding.caption import caption_clips, write_shard
    from espret.decoding.network import load_network
    from espret.text.prepare import load_tokenizer
    from espret.training.data import Split
    from espret.training.distributed import choose_device

    device, tokenizer = choose_device(args.ngpu), load_tokenizer(args.text)
    split = Split(args.data, args.feats, None)
    network, system = load_network(args.exp, split.dim, len(tokenizer), device)
    if args.config:
        system = load_system(args.config)
    beam = check(Beam, system.decode, f"{args.config or args.exp}: decode")
    numbers = shard(list(range(len(split.utts))), args.shard)
    write_shard(caption_clips(network, split, numbers, tokenizer, beam, device), args.shard, args.data, args.out)
    print(f"caption: shard {args.shard}, {len(numbers)} clips")
    return 0
