"""Stage 6: pack a trained system into one archive, <out>/<corpus>_<task>_<system>_seed<k>.zip, for `espret apply`."""

from __future__ import annotations

from espret.bin import parser


def main(argv: list[str]) -> int:
    """`espret pack --exp EXP --text T --corpus NAME --out O [SCORE_DIR ...]`."""
    options = parser("pack", __doc__)
    options.add_argument("--exp", required=True, help="experiment folder (stage 3)")
    options.add_argument("--text", required=True, help="tokenizer folder (stage 2)")
    options.add_argument("--corpus", required=True, help="the corpus' name")
    options.add_argument("--config", help="system file whose decode section is packed (default: the experiment's)")
    options.add_argument("--out", required=True, help="folder for the archive")
    options.add_argument("scores", nargs="*", metavar="SCORE_DIR", help="its score directories (stage 5)")
    args = options.parse_args(argv)

    from espret.packing import load, pack

    path = pack(args.exp, args.text, args.corpus, args.out, args.scores, args.config)
    load(path)  # an archive that does not load is found here, not where it is used
    print(f"pack: {path.name}, {path.stat().st_size / 1e6:.1f} MB")
    return 0
