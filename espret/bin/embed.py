"""Stage 4, retrieval: embed a split's clips and captions and compare all with all.

Leaves sim.npy [captions, clips], audio.npy, text.npy, captions.txt and clips.txt.
"""

from __future__ import annotations

from espret.decoding.verb import decoding_parser, load


def main(argv: list[str]) -> int:
    """`espret embed --exp EXP --data D --feats F --text T --out O`."""
    options = decoding_parser("embed", __doc__)
    options.add_argument("--out", required=True, help="folder for the matrices")
    args = options.parse_args(argv)

    from espret.decoding.embed import Embed, embed, write_embeddings

    it = load(args, Embed, captions=True)
    write_embeddings(embed(it.network, it.split, it.decode.batch_size, it.device), it.split, args.out)
    print(f"embed: {len(it.split.captions)} captions, {len(it.split.utts)} clips")
    return 0
