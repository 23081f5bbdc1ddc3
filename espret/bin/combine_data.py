"""Put data directories together into one, for training on a mix of corpora (stage 0).

espret combine-data --out data/train+wavcaps data/train data/wavcaps
"""

from __future__ import annotations

from espret.bin import parser
from espret.data.combine import combine_data


def main(argv: list[str]) -> int:
    options = parser("combine-data", __doc__)
    options.add_argument("--out", required=True, metavar="DIR", help="the data directory to write")
    options.add_argument("dirs", nargs="+", metavar="DIR")
    args = options.parse_args(argv)
    whole = combine_data(args.dirs, args.out)
    print(f"{whole.about['split']}: {len(whole.utts)} clips, {len(whole.text)} captions")
    return 0
