"""Make a feature directory of features that others have published (instead of dump and merge-dump).

    espret import-features --from vggish-raw.hickle --data data/train --out dump/vggish/train --name vggish

FILE is .hickle, .hkl, .h5, .hdf5, .pickle, .pkl, .npz or .npy. Each utterance's key is found by its id and its name in
the corpus. Clips without features are listed in OUT/missing.
"""

from __future__ import annotations

from espret.bin import parser


def main(argv: list[str]) -> int:
    options = parser("import-features", __doc__)
    options.add_argument(
        "--from", dest="source", required=True, metavar="FILE", help="file of features, one array a key"
    )
    options.add_argument("--data", required=True, help="data directory")
    options.add_argument("--out", required=True, help="feature directory")
    options.add_argument(
        "--name", default="", help="the expert: vggish, vggsound, pann, ...; a known one's dim is checked"
    )
    options.add_argument("--dim", type=int, help="the dim that is expected")
    options.add_argument("--keys", metavar="FILE", help="the keys of an .npy's rows, one a line")
    options.add_argument("--utt2key", metavar="FILE", help="table of each utterance's key, instead of looking for it")
    options.add_argument(
        "--max-missing", type=int, metavar="N", help="refuse more clips without features (default any)"
    )
    args = options.parse_args(argv)
    from espret.data.tables import some
    from espret.features.importer import import_features

    result = import_features(
        args.source, args.data, args.out, args.name, args.dim, args.keys, args.utt2key, args.max_missing
    )
    print(
        f"{args.out}: {args.name or 'features'} of dim {result.dim}: {result.found} found, "
        f"{len(result.missing)} missing, {result.unused} keys unused"
    )
    if result.missing:
        print(f"missing: {some(result.missing)}")
    return 0
