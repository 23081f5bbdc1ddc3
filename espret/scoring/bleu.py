"""BLEU-1..4 (Papineni et al. 2002) with the constants and the closest reference length of the COCO caption tools."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from espret.scoring.metric import Captions, Metric, Result

Floats = npt.NDArray[np.float64]

ORDER = 4
TINY, SMALL = 1e-15, 1e-9  # in numerators and denominators, so that nothing divides by zero


class Bleu(Metric):
    """BLEU. The values of the set come from summed counts, they are not the mean of the items."""

    names = tuple(f"BLEU-{n}" for n in range(1, ORDER + 1))

    def score(self, captions: Captions) -> Result:
        """BLEU-1..4 of every item and of the set, as fractions; `statistics` are the counts that `of_sums` takes."""
        rows = [_count(hyp, refs) for hyp, refs in zip(captions.hyps, captions.refs)]
        counts = np.array(rows, dtype=np.float64)
        corpus, items = of_sums(counts.sum(axis=0)), of_sums(counts)
        return Result(
            {name: float(values) for name, values in corpus.items()},
            {name: values.tolist() for name, values in items.items()},
            {"BLEU": rows},
        )


def ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each run of n words occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def of_sums(counts: Floats) -> dict[str, Floats]:
    """BLEU-1..4 [...] of counts [..., 10], those of one item or sums over items: length in tokens, that of the closest
    reference, n-grams proposed for n = 1..4, n-grams right (clipped) for n = 1..4."""
    proposed, right = counts[..., 2 : 2 + ORDER], counts[..., 2 + ORDER :]
    ratio = (counts[..., 0] + TINY) / (counts[..., 1] + SMALL)
    brevity = np.exp(np.minimum(0.0, 1 - 1 / ratio))
    products = np.cumprod((right + TINY) / (proposed + SMALL), axis=-1)
    return {f"BLEU-{n}": np.asarray(products[..., n - 1] ** (1 / n) * brevity) for n in range(1, ORDER + 1)}


def _count(hyp: str, refs: list[str]) -> list[float]:
    words = hyp.split()
    references = [ref.split() for ref in refs]
    closest = min((abs(len(ref) - len(words)), len(ref)) for ref in references)[1]
    right = []
    for n in range(1, ORDER + 1):
        most: Counter[tuple[str, ...]] = Counter()
        for ref in references:
            most |= ngrams(ref, n)
        right.append((ngrams(words, n) & most).total())
    return [len(words), closest, *(max(0, len(words) - n + 1) for n in range(1, ORDER + 1)), *right]
