"""METEOR 1.5 (Denkowski and Lavie 2014), English, `-norm`: the Java scorer in process, one for the whole process."""

from __future__ import annotations

import functools
from typing import Any

from espret.scoring.java import coco_tools, errors_of, meteor_jar, start
from espret.scoring.metric import Result, Tokenised


class Meteor:
    """METEOR. The value of the set comes from summed statistics, it is not the mean of the items."""

    names = ("METEOR",)

    def score(self, captions: Tokenised) -> Result:
        """METEOR of every item and of the set, as fractions; an empty candidate scores 0. Raises Unavailable."""
        lists = start().JClass("java.util.ArrayList")
        with errors_of("METEOR", "loading its tables"):
            scorer, stats_of = _scorer()
        items = []
        total = stats_of()
        for utt, hyp, refs in zip(captions.ids, captions.hyps, captions.refs):
            with errors_of("METEOR", f"scoring {utt}"):
                # The statistics go through their text form, as in the tool's `-stdio` dialogue: its digits are what
                # counts.
                stats = stats_of(str(scorer.getMeteorStats(hyp, lists(refs)).toString()))
                scorer.computeMetrics(stats)
                items.append(float(stats.score))
                total.addStats(stats)
        scorer.computeMetrics(total)
        return Result({"METEOR": float(total.score)}, {"METEOR": items})


@functools.cache
def _scorer() -> tuple[Any, Any]:
    # Loading the paraphrase table takes seconds; the scorer is kept.
    tools = coco_tools()
    configuration = tools.load("edu.cmu.meteor.scorer.MeteorConfiguration")()
    configuration.setLanguage("en")
    # The default address of the paraphrase table escapes blanks twice.
    table = meteor_jar().parent / "data" / "paraphrase-en.gz"
    configuration.setParaFileURL(start().JClass("java.io.File")(str(table)).toURI().toURL())
    configuration.setNormalization(tools.load("edu.cmu.meteor.util.Constants").NORMALIZE_KEEP_PUNCT)
    scorer = tools.load("edu.cmu.meteor.scorer.MeteorScorer")(configuration)
    return scorer, tools.load("edu.cmu.meteor.scorer.MeteorStats")
