"""Stage 4, retrieval: embed a split's clips and captions and compare all with all.

Leaves sim.npy [captions, clips], audio.npy, text.npy, captions.txt and clips.txt.
"""

from __future__ import annotations

from espret.bin import parser


def main(argv: list[str]) -> int:
    """`espret embed --exp EXP --data D --feats F --text T --out O`."""
    options = parser("embed", __doc__)
    options.add_argument("--exp", required=True, help="experiment folder (stage 3)")
    options.add_argument("--config", help="system file whose decode section is used (default: the experiment's)")
    options.add_argument("--data", required=True, help="data directory to embed")
    options.add_argument("--feats", required=True, help="its features (stage 1)")
    options.add_argument("--text", required=True, help="tokenizer folder (stage 2)")
    options.add_argument("--ngpu", type=int, default=0, help="0: CPU (default), 1: GPU")
    options.add_argument("--out", required=True, help="folder for the matrices")
    args = options.parse_args(argv)

    from espret.config import check, load_system
    from espret.decoding.embed import Embed, embed, write_embeddings
    from espret.decoding.network import load_network
    from espret.text.prepare import load_tokenizer
    from espret.training.data import Split
    from espret.training.distributed import choose_device

    device, tokenizer = choose_device(args.ngpu), load_tokenizer(args.text)
    split = Split(args.data, args.feats, tokenizer)
    network, system = load_network(args.exp, split.dim, len(tokenizer), device)
    if args.config:
        system = load_system(args.config)
    decode = check(Embed, system.decode, f"{args.config or args.exp}: decode")
    write_embeddings(embed(network, split, decode.batch_size, device), split, args.out)
    print(f"embed: {len(split.captions)} captions, {len(split.utts)} clips")
    return 0
