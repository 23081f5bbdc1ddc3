"""ROUGE-L (Lin 2004) as in the COCO caption tools: beta 1.2, best precision and best recall over the references."""

from __future__ import annotations

from espret.scoring.metric import Captions, Metric, Result, mean

BETA = 1.2


class RougeL(Metric):
    """ROUGE-L. The value of the set is the mean of the items."""

    names = ("ROUGE-L",)

    def score(self, captions: Captions) -> Result:
        """ROUGE-L of every item, as fractions, and their mean; an empty candidate scores 0."""
        items = [_rouge(hyp, refs) for hyp, refs in zip(captions.hyps, captions.refs)]
        return Result({"ROUGE-L": mean(items)}, {"ROUGE-L": items})


def _rouge(hyp: str, refs: list[str]) -> float:
    if not hyp:
        return 0.0
    words = hyp.split(" ")
    references = [ref.split(" ") for ref in refs]
    common = [common_length(words, ref) for ref in references]
    # The best precision and the best recall may come from different references.
    precision = max(length / len(words) for length in common)
    recall = max(length / len(ref) for length, ref in zip(common, references))
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_length(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, by the bit-parallel recurrence of Hyyro (2004).

    Bit i of `row` is 0 where the length grows at word i of `a`; each word of `b` updates all of `a` in four operations.
    """
    where: dict[str, int] = {}
    for i, word in enumerate(a):
        where[word] = where.get(word, 0) | (1 << i)
    everything = (1 << len(a)) - 1
    row = everything
    for word in b:
        hits = row & where.get(word, 0)
        row = ((row + hits) | (row - hits)) & everything
    return len(a) - row.bit_count()
