"""BLEU-1..4 (Papineni et al. 2002) with the constants and the closest reference length of the COCO caption tools."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from espret.scoring.metric import Result, Tokenised

ORDER = 4
TINY, SMALL = 1e-15, 1e-9  # in numerators and denominators, so that nothing divides by zero


class Bleu:
    """BLEU. The values of the set come from summed counts, they are not the mean of the items."""

    names = tuple(f"BLEU-{n}" for n in range(1, ORDER + 1))

    def score(self, captions: Tokenised) -> Result:
        """BLEU-1..4 of every item and of the set, as fractions."""
        counts = [_count(hyp, refs) for hyp, refs in zip(captions.hyps, captions.refs)]
        per_item = [_bleu(item) for item in counts]
        corpus = _bleu(sum(counts, _Counts()))
        items = {name: [values[n] for values in per_item] for n, name in enumerate(self.names)}
        return Result(dict(zip(self.names, corpus)), items)


@dataclass(frozen=True)
class _Counts:
    """What BLEU needs: lengths in tokens; n-grams proposed and n-grams right (clipped), for n = 1..4."""

    length: int = 0
    reference_length: int = 0
    proposed: tuple[int, ...] = (0,) * ORDER
    right: tuple[int, ...] = (0,) * ORDER

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.length + other.length,
            self.reference_length + other.reference_length,
            tuple(a + b for a, b in zip(self.proposed, other.proposed)),
            tuple(a + b for a, b in zip(self.right, other.right)),
        )


def ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each run of n words occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _count(hyp: str, refs: list[str]) -> _Counts:
    words = hyp.split()
    references = [ref.split() for ref in refs]
    closest = min((abs(len(ref) - len(words)), len(ref)) for ref in references)[1]
    right = []
    for n in range(1, ORDER + 1):
        most: Counter[tuple[str, ...]] = Counter()
        for ref in references:
            most |= ngrams(ref, n)
        right.append((ngrams(words, n) & most).total())
    proposed = tuple(max(0, len(words) - n + 1) for n in range(1, ORDER + 1))
    return _Counts(len(words), closest, proposed, tuple(right))


def _bleu(counts: _Counts) -> list[float]:
    ratio = (counts.length + TINY) / (counts.reference_length + SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    values = []
    product = 1.0
    for n in range(ORDER):
        product *= (counts.right[n] + TINY) / (counts.proposed[n] + SMALL)
        values.append(product ** (1 / (n + 1)) * brevity)
    return values
