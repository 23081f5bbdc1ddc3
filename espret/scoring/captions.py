"""Score captions: check the sets, tokenise once, run the metrics, and say what could not be computed and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from espret.errors import EspretError, nearest
from espret.scoring import METRICS
from espret.scoring.metric import Metric, Result, Tokenised, Unavailable
from espret.scoring.ptb import tokenise

SPIDER_PARTS = ("CIDEr-D", "SPICE")
EVERYTHING = (*METRICS, "SPIDEr", "vocabulary")


@dataclass(frozen=True)
class CaptionScores:
    """`corpus[metric]` and `items[clip][metric]`; where a metric is None, `unavailable[metric]` says why and what
    mends it.

    BLEU, METEOR, ROUGE-L and SPICE are fractions, CIDEr-D goes to 10, SPIDEr is the mean of CIDEr-D and SPICE, and
    `vocabulary` (of the set only) is the number of distinct tokens in the candidates.
    """

    corpus: dict[str, float | None]
    items: dict[str, dict[str, float | None]]
    unavailable: dict[str, str] = field(default_factory=dict)

    def value(self, metric: str) -> float:
        """The set's value of `metric`. Raises Unavailable with the reason when there is none."""
        value = self.corpus[metric]
        if value is None:
            raise Unavailable(f"{metric} is unavailable: {self.unavailable[metric]}")
        return value


def evaluate(
    hyps: Mapping[str, str],
    refs: Mapping[str, Sequence[str]],
    metrics: Iterable[str] = EVERYTHING,
    tokenised: bool = False,
) -> CaptionScores:
    """Score one caption a clip against the clip's references.

    `hyps` is clip -> candidate, `refs` clip -> references in corpus order (SPICE depends on it). Asking for SPIDEr
    brings CIDEr-D and SPICE along. Tabs, line breaks and `|||` in a caption count as one blank; an empty caption is
    scored (0, but for BLEU's constants). With `tokenised` the captions are PTB tokens already: the tokenizer is not
    idempotent.

    Raises EspretError for an unknown metric, for clips that are missing or too many (the document frequencies of
    CIDEr-D are those of the set, so a subset is not scored), for a clip without references, and for an empty set.
    """
    wanted = set(metrics)
    for name in wanted.difference(EVERYTHING):
        raise EspretError(f"unknown caption metric '{name}'{nearest(name, EVERYTHING)}")
    _check(hyps, refs)
    ids = sorted(refs)
    modules = [name for name in METRICS if name in wanted or ("SPIDEr" in wanted and name in SPIDER_PARTS)]
    scores = CaptionScores({}, {utt: {} for utt in ids})
    try:
        captions = _tokenise(ids, hyps, refs, tokenised)
    except Unavailable as error:
        for name in [value for module in modules for value in _metric(module).names] + sorted(
            wanted.difference(METRICS)
        ):
            _give_up(scores, name, str(error))
        return scores
    for module in modules:
        _run(_metric(module), captions, scores)
    if "SPIDEr" in wanted:
        _spider(scores)
    if "vocabulary" in wanted:
        scores.corpus["vocabulary"] = len({word for hyp in captions.hyps for word in hyp.split()})
    return scores


def _check(hyps: Mapping[str, str], refs: Mapping[str, Sequence[str]]) -> None:
    if not refs:
        raise EspretError("no clips to score: the references are empty")
    for problem, ids in (
        ("have references but no caption", refs.keys() - hyps.keys()),
        ("have a caption but no references", hyps.keys() - refs.keys()),
        ("have an empty list of references", {utt for utt, captions in refs.items() if not captions}),
    ):
        if ids:
            some = ", ".join(sorted(ids)[:5]) + (", ..." if len(ids) > 5 else "")
            raise EspretError(
                f"{len(ids)} of {len(refs)} clips {problem}: {some}; scores are of a whole set, never of a part"
            )


def _tokenise(ids: list[str], hyps: Mapping[str, str], refs: Mapping[str, Sequence[str]], tokenised: bool) -> Tokenised:
    if tokenised:
        return Tokenised(ids, [hyps[utt] for utt in ids], [list(refs[utt]) for utt in ids])
    # One pass over everything, each distinct caption once.
    distinct = list(dict.fromkeys([*hyps.values(), *(ref for utt in ids for ref in refs[utt])]))
    tokens = dict(zip(distinct, tokenise(distinct)))
    return Tokenised(ids, [tokens[hyps[utt]] for utt in ids], [[tokens[ref] for ref in refs[utt]] for utt in ids])


def _metric(name: str) -> Metric:
    metric: Metric = METRICS.load(name)()
    return metric


def _run(metric: Metric, captions: Tokenised, scores: CaptionScores) -> None:
    try:
        result = metric.score(captions)
    except Unavailable as error:
        for name in metric.names:
            _give_up(scores, name, str(error))
        return
    _add(scores, result)


def _add(scores: CaptionScores, result: Result) -> None:
    scores.corpus.update(result.corpus)
    for name, values in result.items.items():
        for item, value in zip(scores.items.values(), values):
            item[name] = value


def _give_up(scores: CaptionScores, name: str, reason: str) -> None:
    scores.corpus[name] = None
    scores.unavailable[name] = reason
    for item in scores.items.values() if name != "vocabulary" else ():
        item[name] = None


def _spider(scores: CaptionScores) -> None:
    for part in SPIDER_PARTS:
        if part in scores.unavailable:
            return _give_up(scores, "SPIDEr", scores.unavailable[part])
    a, b = SPIDER_PARTS
    scores.corpus["SPIDEr"] = (scores.value(a) + scores.value(b)) / 2
    for item in scores.items.values():
        item["SPIDEr"] = ((item[a] or 0.0) + (item[b] or 0.0)) / 2
