"""CIDEr-D (Vedantam et al. 2015) as in the COCO caption tools.

The document frequencies are those of the references that are scored, one document a clip. So the value of an item
depends on the whole set: never average over shards, never score a subset under the whole set's name.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from espret.scoring.bleu import ngrams
from espret.scoring.metric import Captions, Metric, Result, mean

ORDER = 4
SIGMA = 6.0  # of the Gaussian on the difference of lengths
SCALE = 10.0
Ngram = tuple[str, ...]


class CiderD(Metric):
    """CIDEr-D, from 0 to 10. The value of the set is the mean of the items; one clip alone scores 0 (all idf are 0)."""

    names = ("CIDEr-D",)

    def score(self, captions: Captions) -> Result:
        """CIDEr-D of every item, and their mean."""
        weights = Weights(captions.refs)
        items = []
        for hyp, refs in zip(captions.hyps, captions.refs):
            vector = weights.vector(hyp)
            similarities = [similarity(vector, weights.vector(ref)) for ref in refs]
            items.append(SCALE * sum(similarities) / len(refs))
        return Result({"CIDEr-D": mean(items)}, {"CIDEr-D": items})


@dataclass(frozen=True)
class Vector:
    """A caption: for n = 1..4 the tf-idf weight of each n-gram and their norm; and its length, counted in bigrams."""

    weights: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    length: int


class Weights:
    """Inverse document frequencies of n-grams in a reference set: log(clips) - log(clips whose references have it)."""

    def __init__(self, refs: list[list[str]]) -> None:
        documents: Counter[Ngram] = Counter()
        for clip in refs:
            documents.update({gram for ref in clip for n in range(1, ORDER + 1) for gram in ngrams(ref.split(), n)})
        self._log_clips = math.log(len(refs))
        self._idf = {gram: self._log_clips - math.log(count) for gram, count in documents.items()}

    def vector(self, caption: str) -> Vector:
        """The caption's tf-idf vectors. An n-gram of no reference counts as one of a single clip."""
        words = caption.split()
        weights = tuple(
            {gram: count * self._idf.get(gram, self._log_clips) for gram, count in ngrams(words, n).items()}
            for n in range(1, ORDER + 1)
        )
        norms = tuple(math.sqrt(sum(weight**2 for weight in of_n.values())) for of_n in weights)
        return Vector(weights, norms, max(0, len(words) - 1))


def similarity(hyp: Vector, ref: Vector) -> float:
    """Mean over n of the clipped cosine, times the length penalty, from 0 to 1."""
    penalty = math.exp(-((hyp.length - ref.length) ** 2) / (2 * SIGMA**2))
    total = 0.0
    for n in range(ORDER):
        theirs = ref.weights[n]
        shared = sum(
            min(weight, theirs[gram]) * theirs[gram] for gram, weight in hyp.weights[n].items() if gram in theirs
        )
        if shared:
            total += shared / (hyp.norms[n] * ref.norms[n])
    return total / ORDER * penalty
