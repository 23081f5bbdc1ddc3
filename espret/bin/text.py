"""Stage 2: train the tokenizer of a system on the captions of a split; leaves it and stats.json in --out."""

from __future__ import annotations

from espret.bin import parser
from espret.config import load_system
from espret.files import read_json
from espret.text.prepare import prepare_text


def main(argv: list[str]) -> int:
    """`espret text --config CONF --data data/train --out dump/text/word`."""
    options = parser("text", __doc__)
    options.add_argument("--config", required=True, help="system file; its text section is used")
    options.add_argument("--data", required=True, help="data directory with the training captions")
    options.add_argument("--out", required=True, help="folder for the tokenizer and stats.json")
    args = options.parse_args(argv)
    prepare_text(load_system(args.config).text.tokenizer, args.data, args.out)
    train = read_json(f"{args.out}/stats.json")["train"]
    print(
        f"text: {train['captions']} captions, {train['word_types']} word types, {train['mean_length']} tokens a caption"
        f" (at most {train['max_length']})"
    )
    return 0
