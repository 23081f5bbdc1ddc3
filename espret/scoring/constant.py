"""What a system must beat to have learnt anything: the best SPIDEr that one caption reaches when every clip gets it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from espret.errors import EspretError
from espret.scoring.cider import ORDER, SCALE, SIGMA, Ngram, Vector, Weights
from espret.scoring.ptb.tokenizer import tokenise
from espret.scoring.spice.metric import SceneGraphs, tuples_of

Floats = npt.NDArray[np.float64]


def best_constant_caption(
    refs: Mapping[str, Sequence[str]], candidates: Iterable[str], spice_candidates: int | None = 50
) -> tuple[str, float]:
    """The caption among `candidates` with the best SPIDEr when given to every clip of `refs`, and that SPIDEr.

    CIDEr-D is exact for every candidate. SPICE, which costs a parse a candidate, is exact too, but computed only for
    the `spice_candidates` best by CIDEr-D and as many best by word overlap (for all of them with None). So the result
    never exceeds the true best, and equals it unless a candidate outside both lists, whose CIDEr-D is at most that of
    the last in the first list, has a SPICE that makes up for it. Raises EspretError without candidates or clips,
    Unavailable without Java or SPICE's parser.
    """
    texts = list(dict.fromkeys(candidates))
    if not texts or not refs:
        raise EspretError("the best constant caption needs at least one candidate and one clip")
    distinct = list(dict.fromkeys([*texts, *(ref for captions in refs.values() for ref in captions)]))
    tokens = dict(zip(distinct, tokenise(distinct)))
    clips = [[tokens[ref] for ref in captions] for captions in refs.values()]
    hyps = [tokens[text] for text in texts]
    ciders = constant_ciders(hyps, clips)
    chosen = np.arange(len(hyps))
    if spice_candidates is not None:
        by_cider, by_words = (np.argsort(-values)[:spice_candidates] for values in (ciders, _overlaps(hyps, clips)))
        chosen = np.union1d(by_cider, by_words)
    spiders = (ciders[chosen] + _constant_spices([hyps[i] for i in chosen], clips)) / 2
    best = int(np.argmax(spiders))
    return texts[chosen[best]], float(spiders[best])


def constant_ciders(hyps: Sequence[str], clips: list[list[str]]) -> Floats:
    """CIDEr-D of each caption when every clip gets it. Captions and references are tokenised. [captions]"""
    weights = Weights(clips)
    references = _References([[weights.vector(ref) for ref in refs] for refs in clips])
    return np.array([references.mean_similarity(weights.vector(hyp)) for hyp in hyps]) * SCALE


class _References:
    """All references as posting lists, n-gram -> (which references, their weights): one caption against all at once."""

    def __init__(self, clips: list[list[Vector]]) -> None:
        vectors = [vector for refs in clips for vector in refs]
        self._lengths = np.array([vector.length for vector in vectors])
        self._norms = np.array([vector.norms for vector in vectors]).T
        # The mean over clips of the mean over a clip's references.
        self._shares = np.array([1 / len(refs) / len(clips) for refs in clips for _ in refs])
        postings: dict[Ngram, list[tuple[int, float]]] = defaultdict(list)
        for number, vector in enumerate(vectors):
            for of_n in vector.weights:
                for gram, weight in of_n.items():
                    postings[gram].append((number, weight))
        self._postings = {
            gram: (np.array([number for number, _ in pairs]), np.array([weight for _, weight in pairs]))
            for gram, pairs in postings.items()
        }

    def mean_similarity(self, hyp: Vector) -> float:
        """Mean over the clips of `espret.scoring.cider.similarity`, averaged over each clip's references."""
        total = np.zeros(len(self._lengths))
        for n in range(ORDER):
            shared = np.zeros(len(self._lengths))
            for gram, weight in hyp.weights[n].items():
                if gram in self._postings:
                    where, theirs = self._postings[gram]
                    shared[where] += np.minimum(weight, theirs) * theirs
            norms = hyp.norms[n] * self._norms[n]
            total += np.divide(shared, norms, out=np.zeros_like(shared), where=norms > 0)
        penalty = np.exp(-((hyp.length - self._lengths) ** 2) / (2 * SIGMA**2))
        return float((total / ORDER * penalty) @ self._shares)


def _overlaps(hyps: list[str], clips: list[list[str]]) -> Floats:
    """Mean over clips of the F1 of a caption's words against those of its references: cheap, and SPICE follows it."""
    words = [set(" ".join(refs).split()) for refs in clips]
    sizes = np.array([len(one) for one in words])
    found: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(words):
        for word in one:
            found[word].append(number)
    values = np.zeros(len(hyps))
    for i, hyp in enumerate(hyps):
        mine = set(hyp.split())
        hits = np.zeros(len(clips))
        for word in mine:
            hits[found.get(word, [])] += 1
        values[i] = np.mean(2 * hits / np.maximum(1, sizes + len(mine)))
    return values


def _constant_spices(hyps: list[str], clips: list[list[str]]) -> Floats:
    """SPICE of each caption when every clip gets it. [captions]"""
    tuples = tuples_of([*hyps, *(ref for refs in clips for ref in refs)])
    graphs = SceneGraphs()
    references = [graphs.merged([tuples[ref] for ref in refs]) for refs in clips]
    candidates = [graphs.merged([tuples[hyp]]) for hyp in hyps]
    return np.array([np.mean([graphs.f1(mine, theirs) for theirs in references]) for mine in candidates])
