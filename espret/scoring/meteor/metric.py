"""METEOR 1.5 (Denkowski and Lavie 2014), English, `-norm`: the values of its Java program to the last digit.

Java takes seconds to load METEOR's tables and aligns slowly until it is warm, so almost all captions are aligned here
(espret.scoring.meteor.alignment); Java itself (espret.scoring.meteor.java) does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

import numpy as np
import numpy.typing as npt

from espret.scoring.java import meteor_jar
from espret.scoring.meteor import java as meteor_java
from espret.scoring.meteor import paraphrases
from espret.scoring.meteor.alignment import (
    CONTENT,
    FUNCTION,
    LONGEST,
    Candidate,
    Caption,
    Match,
    Words,
    search,
    searchable,
)
from espret.scoring.meteor.lexicon import Lexicon, normalised
from espret.scoring.meteor.powers import BETA, Powers
from espret.scoring.metric import Captions, Metric, Result

Floats = npt.NDArray[np.float64]

# English: the share of recall in the mean and the weight of the penalty for fragments; what the modules count.
ALPHA, GAMMA = 0.85, 0.6
WEIGHTS = (1.0, 0.6, 0.8, 0.6)
CHUNKS = 20  # its place among the statistics
SLACK = 1e-9  # far above what rounding does to a value


class Meteor(Metric):
    """METEOR. The value of the set comes from summed statistics, it is not the mean of the items."""

    names = ("METEOR",)

    def score(self, captions: Captions) -> Result:
        """METEOR of every item and of the set, as fractions; an empty candidate scores 0. Raises Unavailable.

        `statistics` are the sums that `of_sums` takes.
        """
        powers = Powers()
        index = paraphrases.open_index(meteor_java.table())
        ours = _Scorer(captions, index, powers) if index else None
        total = [0.0] * (CHUNKS + 3)
        items, rows = [], []
        asked = list(zip(captions.ids, captions.hyps, captions.refs))
        known = [ours.best(hyp, refs) if ours else None for _, hyp, refs in asked]
        java = iter(meteor_java.statistics_of([item for item, row in zip(asked, known) if row is None]))
        for row in (next(java) if one is None else one for one in known):
            summands = _summands(row)
            items.append(_value(summands, powers))
            rows.append(summands)
            # As METEOR adds: a caption that equals its reference adds no chunk.
            total = [*map(float.__add__, total, row)]
            total[CHUNKS] -= row[CHUNKS] - summands[4]
        return Result({"METEOR": _value(_summands(total), powers)}, {"METEOR": items}, {"METEOR": rows})


def of_sums(sums: Floats) -> dict[str, Floats]:
    """METEOR [...] of sums [..., 6] over items, as Java computes it: weighted matches and weighted length of the
    candidates, the same of the references, chunks, and matched words (the mean of both sides)."""
    hyp_matches, hyp_length, ref_matches, ref_length, chunks, words = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = (1 - ALPHA) * hyp_length / hyp_matches + ALPHA * ref_length / ref_matches
        values = (1 - GAMMA * (chunks / words) ** BETA) / inverse
    return {"METEOR": np.maximum(np.nan_to_num(values, nan=0.0), 0.0)}  # without a match there is no penalty: NaN


def _summands(row: Sequence[float]) -> list[float]:
    """What statistics add to the sums that `of_sums` takes; each operation in Java's order."""
    sides = []
    for side in (0, 1):
        length, function = row[side], row[side + 2]
        content_matches, function_matches = row[4 + side : CHUNKS : 4], row[6 + side : CHUNKS : 4]
        matched = 0.0
        for share, matches in ((CONTENT, content_matches), (FUNCTION, function_matches)):
            for count, weight in zip(matches, WEIGHTS):
                matched += count * weight * share
        whole = sum(content_matches) + sum(function_matches) == length
        sides.append((matched, CONTENT * (length - function) + FUNCTION * function, whole))
    (hyp, hyp_length, hyp_whole), (ref, ref_length, ref_whole) = sides
    chunks = 0.0 if hyp_whole and ref_whole and row[CHUNKS] == 1 else row[CHUNKS]
    return [hyp, hyp_length, ref, ref_length, chunks, (row[CHUNKS + 1] + row[CHUNKS + 2]) / 2]


def _value(summands: Sequence[float], powers: Powers) -> float:
    """METEOR of summands, each operation in Java's order; Java's NaN, of captions without a match, counts 0."""
    hyp, hyp_length, ref, ref_length, chunks, words = summands
    if not hyp or not ref:
        return 0.0
    mean = 1.0 / ((1.0 - ALPHA) / (hyp / hyp_length) + ALPHA / (ref / ref_length))
    return max(mean * (1.0 - GAMMA * powers(chunks / words)), 0.0)


class _Scorer:
    """Statistics of candidates against their references, for captions that need no Java."""

    def __init__(self, captions: Captions, index: paraphrases.Index, powers: Powers) -> None:
        texts = dict.fromkeys(text for hyp, refs in zip(captions.hyps, captions.refs) for text in (hyp, *refs))
        words = {text: found for text in texts if (found := normalised(text)) is not None and len(found) <= LONGEST}
        candidates = [hyp for hyp in captions.hyps if hyp in words]
        self._words = Words(words, candidates, Lexicon(meteor_jar(), paraphrases.home()), index)
        self._powers = powers

    def best(self, hyp: str, refs: Sequence[str]) -> list[float] | None:
        """The 23 statistics, in the order of METEOR's `-stdio` dialogue, of the first reference that scores best; None
        for captions that need Java.

        References are tried from the highest bound on their score on; those that cannot reach the best need no search.
        """
        known = self._words.captions
        if hyp not in known or any(text not in known for text in refs):
            return None
        captions = [known[text] for text in refs]
        candidate, width = Candidate(known[hyp], captions, self._words), len(known[hyp].words)
        tries = []
        for number, ref in enumerate(captions):
            matches = candidate.matches(ref)
            if not searchable(matches, width):
                return None
            tries.append((-_bound(candidate.caption, ref, matches), number, ref, matches))
        tries.sort(key=lambda one: one[0])
        found: list[tuple[float, int, list[float]]] = []
        for bound, number, ref, matches in tries:
            if found and bound - SLACK > min(found)[0]:
                break
            row = _counts(candidate.caption, ref, search(matches, width))
            found.append((-_value(_summands(row), self._powers), number, row))
        return min(found)[2]


def _bound(hyp: Caption, ref: Caption, matches: Sequence[Sequence[Match]]) -> float:
    """No alignment by these matches scores more: each matched word counts as by its best match, all in one chunk."""
    hyp_best, ref_best = [0.0] * len(hyp.words), [0.0] * len(ref.words)
    for options in matches:
        for module, place, size, begin, words in options:
            weight = WEIGHTS[module]
            for at in range(begin, begin + words):
                if hyp_best[at] < weight:
                    hyp_best[at] = weight
            for at in range(place, place + size):
                if ref_best[at] < weight:
                    ref_best[at] = weight
    hyp_matched, ref_matched = sum(map(mul, hyp_best, hyp.worth)), sum(map(mul, ref_best, ref.worth))
    if not hyp_matched or not ref_matched:
        return 0.0
    mean = 1.0 / ((1.0 - ALPHA) * sum(hyp.worth) / hyp_matched + ALPHA * sum(ref.worth) / ref_matched)
    words_left = hyp_best.count(0.0) + ref_best.count(0.0)
    most = len(hyp_best) + len(ref_best) - words_left
    return mean * (1.0 - GAMMA * (2.0 / most) ** BETA) if words_left else mean


def _counts(hyp: Caption, ref: Caption, chosen: Sequence[Match]) -> list[float]:
    """The statistics of an alignment."""
    row = [0.0] * (CHUNKS + 3)
    row[:4] = len(hyp.words), len(ref.words), hyp.worth.count(FUNCTION), ref.worth.count(FUNCTION)
    end = (-1, -1)
    for module, place, size, begin, words in chosen:
        if (place, begin) != end:
            row[CHUNKS] += 1
        end = place + size, begin + words
        row[CHUNKS + 1] += words
        row[CHUNKS + 2] += size
        for at in range(begin, begin + words):
            row[4 + 4 * module + (2 if hyp.worth[at] == FUNCTION else 0)] += 1
        for at in range(place, place + size):
            row[5 + 4 * module + (2 if ref.worth[at] == FUNCTION else 0)] += 1
    return row
