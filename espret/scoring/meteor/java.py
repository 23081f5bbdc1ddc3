"""METEOR 1.5's own Java program in process: for captions that espret leaves to it, and what tests compare with."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espret.scoring.java import MEND, coco_tools, errors_of, meteor_jar, start
from espret.scoring.metric import Unavailable


def table() -> Path:
    """METEOR's English paraphrases. Raises Unavailable when they are not there."""
    path = meteor_jar().parent / "data" / "paraphrase-en.gz"
    if not path.is_file():
        raise Unavailable(f"METEOR's paraphrase table {path} is missing; {MEND}")
    return path


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
