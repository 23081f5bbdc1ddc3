"""METEOR 1.5's own Java program in process: for captions that espret leaves to it, and what tests compare with."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espret.scoring.java import MEND, coco_tools, errors_of, meteor_jar, start
from espret.scoring.metric import Unavailable
from espret.scoring.watch import Watch, watched

# Words of the candidate times words of a reference up to which the two are aligned; Java's time grows with the cube of
# their lengths (2,000 words against 2,000 take a quarter of a minute, 10,000 against 10,000 half an hour).
MAX_PAIR = 250_000
# At least as many words as Java's normalisation makes, which sets marks and letters that are not Western apart.
WORDS = re.compile("[A-Za-z0-9À-ž]+|[^ ]")
Item = tuple[str, str, Sequence[str]]  # clip, candidate, references


def table() -> Path:
    """METEOR's English paraphrases. Raises Unavailable when they are not there."""
    path = meteor_jar().parent / "data" / "paraphrase-en.gz"
    if not path.is_file():
        raise Unavailable(f"METEOR's paraphrase table {path} is missing; {MEND}")
    return path


def statistics_of(items: Sequence[Item]) -> list[list[float]]:
    """`statistics` of each item, in order, in a watched thread: Ctrl-C is heard, and an item that takes too long is an
    EspretError that names it. A reference with which the candidate exceeds MAX_PAIR is left out, with a warning; where
    none is left the candidate matches nothing.
    """
    if not items:
        return []
    shorter = [(utt, hyp, _alignable(utt, hyp, refs)) for utt, hyp, refs in items]

    def worker(watch: Watch) -> None:
        for utt, hyp, refs in shorter:
            if refs:
                watch.begin(f"scoring the caption of {utt}, {hyp!r:.80}")
                watch.put(statistics(utt, hyp, refs))

    found = watched("METEOR", [worker])
    return [next(found) if left else _no_match(hyp, refs) for (_, hyp, refs), (_, _, left) in zip(items, shorter)]


def _alignable(utt: str, hyp: str, refs: Sequence[str]) -> list[str]:
    words = len(WORDS.findall(hyp))
    kept = [ref for ref in refs if words * len(WORDS.findall(ref)) <= MAX_PAIR]
    if len(kept) < len(refs):
        what = (
            f"the caption of {utt} has {words} words, too many to align with {len(refs) - len(kept)} of its references"
        )
        print(f"METEOR: warning: {what} (together more than {MAX_PAIR}), which count as not matching", file=sys.stderr)
    return kept


def _no_match(hyp: str, refs: Sequence[str]) -> list[float]:
    """The statistics of a candidate that matches nothing: the numbers of words, taken for content words."""
    return [float(len(hyp.split())), float(len(refs[0].split()))] + [0.0] * 21


def statistics(utt: str, hyp: str, refs: Sequence[str]) -> list[float]:
    """The 23 numbers of the best reference, as the program's `-stdio` dialogue gives them. The first call takes
    seconds: it loads the paraphrase table."""
    with errors_of("METEOR", "loading its tables"):
        scorer = _scorer(table())
    with errors_of("METEOR", f"scoring {utt}"):
        lists = start().JClass("java.util.ArrayList")
        return [float(number) for number in str(scorer.getMeteorStats(hyp, lists(refs)).toString()).split()]


def power(base: float, exponent: float) -> float:
    """Java's Math.pow, of which the last digit is not always that of other programs."""
    return float(start().JClass("java.lang.Math").pow(base, exponent))


@functools.cache
def _scorer(paraphrases: Path) -> Any:
    tools = coco_tools()
    configuration = tools.load("edu.cmu.meteor.scorer.MeteorConfiguration")()
    configuration.setLanguage("en")
    # The default address of the paraphrase table escapes blanks twice.
    configuration.setParaFileURL(start().JClass("java.io.File")(str(paraphrases)).toURI().toURL())
    configuration.setNormalization(tools.load("edu.cmu.meteor.util.Constants").NORMALIZE_KEEP_PUNCT)
    return tools.load("edu.cmu.meteor.scorer.MeteorScorer")(configuration)
