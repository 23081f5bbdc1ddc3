"""Score generated captions against the references of a data directory: BLEU, METEOR, ROUGE-L, CIDEr-D, SPICE, SPIDEr.

Writes scores.json (the set) and items.jsonl (every clip) to --out. Where a metric cannot be computed on this machine
its value is null with the reason, and the exit status is 3, or 0 with --allow-unavailable.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from espret.bin import parser
from espret.errors import EspretError
from espret.files import read_jsonl
from espret.scoring.captions import EVERYTHING, CaptionScores, evaluate
from espret.scoring.output import read_references, summary, write_scores

UNAVAILABLE = 3  # exit status: something could not be scored


def main(argv: list[str]) -> int:
    """Score; 0, or 3 when a metric is unavailable and that was not allowed."""
    options = _options(argv)
    hyps = _read_hyps(options.hyp)
    refs = read_references(options.ref)
    scores = evaluate(hyps, refs, options.metrics)
    counts = {"n_clips": len(refs), "n_captions": sum(map(len, refs.values()))}
    items = _items(hyps, refs, scores)
    write_scores(options.out, "captioning", options.ref, counts, scores.corpus, items, scores.unavailable)
    print(summary(scores.corpus))
    for name, reason in scores.unavailable.items():
        print(f"espret score-captions: {name} is unavailable: {reason}", file=sys.stderr)
    return UNAVAILABLE if scores.unavailable and not options.allow_unavailable else 0


def _options(argv: list[str]) -> argparse.Namespace:
    options = parser("score-captions", __doc__)
    options.add_argument("--hyp", required=True, help="hyp.jsonl: rows with utt and caption")
    options.add_argument("--ref", required=True, help="data directory with the references")
    options.add_argument("--out", required=True, help="score directory to write")
    options.add_argument("--metrics", nargs="+", default=EVERYTHING, metavar="NAME", help=", ".join(EVERYTHING))
    options.add_argument("--allow-unavailable", action="store_true", help="exit with 0 though a metric is unavailable")
    return options.parse_args(argv)


def _read_hyps(path: str) -> dict[str, str]:
    hyps: dict[str, str] = {}
    for number, row in enumerate(read_jsonl(path), 1):
        if not isinstance(row, dict) or not isinstance(row.get("utt"), str) or not isinstance(row.get("caption"), str):
            raise EspretError(
                f"{path}:{number}: expected an object with the strings utt and caption, found {row!r:.80}"
            )
        if row["utt"] in hyps:
            raise EspretError(f"{path}:{number}: a second caption for clip {row['utt']}; one a clip is scored")
        hyps[row["utt"]] = row["caption"]
    return hyps


def _items(hyps: dict[str, str], refs: dict[str, list[str]], scores: CaptionScores) -> list[dict[str, Any]]:
    return [
        {"utt": utt, "caption": hyps[utt], "references": refs[utt], **values} for utt, values in scores.items.items()
    ]
