"""Score generated captions against the references of a data directory: BLEU, METEOR, ROUGE-L, CIDEr-D, SPICE, SPIDEr.

Writes scores.json (the set) and items.jsonl (every clip) to --out, or prints only. The FENSE family (SBERT, FER, FENSE,
SPIDEr-FL) joins in where its weights are installed. Where a metric cannot be computed on this machine its value is null
with the reason, and the exit status is 3, or 0 with --allow-unavailable.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from espret.bin import parser, positive
from espret.errors import EspretError
from espret.scoring.captions import CLASSIC, EVERYTHING, FENSE_FAMILY, CaptionScores, check_clips, evaluate
from espret.scoring.fense import install as fense_install
from espret.scoring.inputs import read_hyps, read_nbest, read_references
from espret.scoring.metric import Settings
from espret.scoring.output import summary, write_scores

UNAVAILABLE = 3  # exit status: something could not be scored


def main(argv: list[str]) -> int:
    """Score; 0, or 3 when a metric is unavailable and that was not allowed."""
    options = _options(argv)
    hyps = {utt: row["caption"] for utt, row in read_hyps(options.hyp).items()}
    refs = read_references(options.ref)
    metrics = options.metrics or _default_metrics(options)
    nbest = read_nbest(options.hyp) if "SPIDEr-max" in metrics else None
    settings = Settings(options.sbert, options.fluency, options.device, options.threads)
    check_clips(hyps, refs, f"{options.hyp} and {options.ref}: ")
    scores = evaluate(hyps, refs, metrics, settings=settings, nbest=nbest)
    if options.out is not None:
        _write(options, hyps, refs, scores)
    print(summary(scores.corpus))
    for name, reason in scores.unavailable.items():
        print(f"espret score-captions: {name} is unavailable: {reason}", file=sys.stderr)
    return UNAVAILABLE if scores.unavailable and not options.allow_unavailable else 0


def _options(argv: list[str]) -> argparse.Namespace:
    options = parser("score-captions", __doc__)
    options.add_argument("--hyp", required=True, help="hyp.jsonl: rows with utt and caption, for SPIDEr-max nbest too")
    options.add_argument("--ref", required=True, help="data directory with the references")
    options.add_argument("--out", type=_folder, help="score directory to write")
    options.add_argument("--metrics", nargs="+", metavar="NAME", help=", ".join(EVERYTHING))
    options.add_argument("--allow-unavailable", action="store_true", help="exit with 0 though a metric is unavailable")
    options.add_argument("--sbert", help="Sentence-BERT of SBERT and FENSE: folder or hub name; the installed one")
    options.add_argument("--fluency", help="error detector of FER, FENSE and SPIDEr-FL: file; the installed one")
    options.add_argument("--device", default="cpu", help="torch device of these two: cpu, cuda")
    options.add_argument("--threads", type=positive, help="of SPICE's parser; the cores that this process may use")
    return options.parse_args(argv)


def _folder(text: str) -> str:
    if not text or (os.path.exists(text) and not os.path.isdir(text)):
        raise argparse.ArgumentTypeError(f"'{text}': expected a folder, which is made where there is none")
    return text


def _write(
    options: argparse.Namespace, hyps: dict[str, str], refs: dict[str, list[str]], scores: CaptionScores
) -> None:
    counts = {"n_clips": len(refs), "n_captions": sum(map(len, refs.values()))}
    items = _items(hyps, refs, scores)
    try:
        write_scores(options.out, "captioning", options.ref, counts, scores.corpus, items, scores.unavailable)
    except OSError as error:
        where = "" if error.filename is None else f": {error.filename}"
        raise EspretError(
            f"--out {options.out}: cannot be written: {error.strerror}{where}; mend: make room or rights there or name "
            "another folder"
        ) from None


def _default_metrics(options: argparse.Namespace) -> tuple[str, ...]:
    with_networks = fense_install.installed() or (options.sbert and options.fluency)
    return (*CLASSIC, *FENSE_FAMILY) if with_networks else CLASSIC


def _items(hyps: dict[str, str], refs: dict[str, list[str]], scores: CaptionScores) -> list[dict[str, Any]]:
    return [
        {
            "utt": utt,
            "caption": hyps[utt],
            "references": refs[utt],
            **values,
            "statistics": {module: rows[utt] for module, rows in scores.statistics.items()},
        }
        for utt, values in scores.items.items()
    ]
