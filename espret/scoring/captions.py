"""Score captions: check the sets, tokenise once, run the metrics, and say what could not be computed and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from espret.data.tables import is_utf8
from espret.errors import EspretError, nearest
from espret.scoring import METRICS
from espret.scoring.metric import Captions, Metric, Settings, Unavailable, mean
from espret.scoring.ptb.tokenizer import tokenise

PENALTY = 0.9  # what a fluency error costs, of FENSE (Zhou et al. 2022) and SPIDEr-FL


def _penalised(value: float, error: float) -> float:
    return value * (1 - PENALTY * error)


# Made of two other metrics, item by item; the value of the set is the mean of the items. In the order of computation.
DERIVED: dict[str, tuple[tuple[str, str], Callable[[float, float], float]]] = {
    "SPIDEr": (("CIDEr-D", "SPICE"), lambda cider, spice: (cider + spice) / 2),
    "SPIDEr-FL": (("SPIDEr", "FER"), _penalised),
    "FENSE": (("SBERT", "FER"), _penalised),
    "FENSE-raw": (("SBERT-raw", "FER-raw"), _penalised),
}
CLASSIC = ("BLEU", "METEOR", "ROUGE-L", "CIDEr-D", "SPICE", "SPIDEr", "vocabulary")
FENSE_FAMILY = ("SBERT", "FER", "FENSE", "SPIDEr-FL")
EVERYTHING = (*METRICS, *DERIVED, "SPIDEr-max", "vocabulary")


@dataclass(frozen=True)
class CaptionScores:
    """`corpus[metric]` and `items[clip][metric]`; where a metric is None, `unavailable[metric]` says why and what
    mends it.

    All are fractions, but CIDEr-D, which goes to 10, what is made of it, and `vocabulary` (of the set only), the number
    of distinct tokens in the candidates. `statistics` as in espret.scoring.metric.Result, by clip.
    """

    corpus: dict[str, float | None]
    items: dict[str, dict[str, float | None]]
    unavailable: dict[str, str] = field(default_factory=dict)
    statistics: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def value(self, metric: str) -> float:
        """The set's value of `metric`. Raises Unavailable with the reason when there is none."""
        value = self.corpus[metric]
        if value is None:
            raise Unavailable(f"{metric} is unavailable: {self.unavailable[metric]}")
        return value


def evaluate(
    hyps: Mapping[str, str],
    refs: Mapping[str, Sequence[str]],
    metrics: Iterable[str] = CLASSIC,
    tokenised: bool = False,
    settings: Settings | None = None,
    nbest: Mapping[str, Sequence[str]] | None = None,
) -> CaptionScores:
    """Score one caption a clip against the clip's references.

    `hyps` is clip -> candidate, `refs` clip -> references in corpus order (SPICE depends on it). Asking for a metric
    that is made of others (SPIDEr, FENSE) brings them along. Tabs, line breaks and `|||` in a caption count as one
    blank; an empty caption is scored (0, but for BLEU's constants). With `tokenised` the captions are PTB tokens
    already: the tokenizer is not idempotent. `nbest` is clip -> several candidates, as many for every clip, for
    SPIDEr-max: the SPIDEr of each clip's best candidate (Labbé et al. 2022).

    Lone surrogates are read as U+FFFD by the tokenizer and refused with `tokenised`.

    Raises EspretError for an unknown metric, for clips that are missing or too many (the document frequencies of
    CIDEr-D are those of the set, so a subset is not scored), for a clip without references, and for an empty set.
    """
    wanted = _with_parts(metrics)
    check_clips(hyps, refs)
    ids = sorted(refs)
    captions = _tokenise(ids, hyps, refs, tokenised)
    scores = CaptionScores({}, {utt: {} for utt in ids})
    for name in METRICS:
        if name in wanted:
            _run(METRICS.load(name)(settings), captions, scores)
    for name in DERIVED:
        if name in wanted:
            _derive(name, scores)
    if "SPIDEr-max" in wanted:
        _spider_max(_nbest(ids, nbest, tokenised), captions, scores, settings)
    if "vocabulary" in wanted:
        scores.corpus["vocabulary"] = len({word for hyp in captions.hyps for word in hyp.split()})
    return scores


def _with_parts(metrics: Iterable[str]) -> set[str]:
    """The metrics that are asked for, and those that they are made of."""
    wanted = set(metrics)
    for name in wanted.difference(EVERYTHING):
        raise EspretError(f"unknown caption metric '{name}'{nearest(name, EVERYTHING)}")
    for name in reversed(DERIVED):
        if name in wanted:
            wanted.update(DERIVED[name][0])
    return wanted


def check_clips(hyps: Mapping[str, str], refs: Mapping[str, Sequence[str]], where: str = "") -> None:
    """Refuse sets of clips that are not the same, or without references. `where` begins the EspretError's message."""
    if not refs:
        raise EspretError(f"{where}no clips to score: the references are empty")
    if written := {utt for utt, captions in refs.items() if isinstance(captions, str)}:
        raise EspretError(f"{where}the references of {_some(written)} are one string; expected a list of strings")
    problems = []
    for problem, ids in (
        ("have references but no caption", refs.keys() - hyps.keys()),
        ("have a caption but no references", hyps.keys() - refs.keys()),
        ("have an empty list of references", {utt for utt, captions in refs.items() if not captions}),
    ):
        if ids:
            problems.append(f"{len(ids)} of {len(refs)} clips {problem}: {_some(ids)}; ")
    if problems:
        raise EspretError(f"{where}{''.join(problems)}scores are of a whole set, never of a part")


def _some(ids: Iterable[str]) -> str:
    ordered = sorted(ids)
    return ", ".join(f"{one:.80}" if one.isprintable() else f"{one!r:.80}" for one in ordered[:5]) + (
        ", ..." if len(ordered) > 5 else ""
    )


def _tokenise(ids: list[str], hyps: Mapping[str, str], refs: Mapping[str, Sequence[str]], tokenised: bool) -> Captions:
    raw_hyps, raw_refs = [hyps[utt] for utt in ids], [list(refs[utt]) for utt in ids]
    if tokenised:
        _refuse_surrogates(ids, raw_hyps, raw_refs)
        return Captions(ids, raw_hyps, raw_refs, raw_hyps, raw_refs)
    tokens = _tokens([*raw_hyps, *(ref for captions in raw_refs for ref in captions)])
    return Captions(
        ids, [tokens[hyp] for hyp in raw_hyps], [[tokens[ref] for ref in of] for of in raw_refs], raw_hyps, raw_refs
    )


def _refuse_surrogates(ids: list[str], hyps: list[str], refs: list[list[str]]) -> None:
    for utt, hyp, of in zip(ids, hyps, refs):
        if wrong := [caption for caption in (hyp, *of) if not is_utf8(caption)]:
            raise EspretError(f"{utt}: {wrong[0]!r:.80} has a lone surrogate, which is no character; remove it")


def _tokens(captions: Iterable[str]) -> dict[str, str]:
    distinct = list(dict.fromkeys(captions))
    return dict(zip(distinct, tokenise(distinct)))


def _nbest(ids: list[str], nbest: Mapping[str, Sequence[str]] | None, tokenised: bool) -> list[list[str]]:
    """The tokenised candidates, one list of all clips for each rank."""
    if nbest is None:
        raise EspretError(
            "SPIDEr-max needs several candidates a clip: rows of hyp.jsonl with nbest, from a beam search"
        )
    if missing := set(ids) - nbest.keys():
        raise EspretError(f"{len(missing)} of {len(ids)} clips have no nbest: {_some(missing)}")
    sizes = {len(nbest[utt]) for utt in ids}
    if len(sizes) > 1 or 0 in sizes:
        fewest = min(ids, key=lambda utt: len(nbest[utt]))
        raise EspretError(
            f"SPIDEr-max needs as many candidates for every clip, found {min(sizes)} ({fewest}) to {max(sizes)};"
            " mend: decode with the same nbest for all"
        )
    ranks = [list(rank) for rank in zip(*(nbest[utt] for utt in ids))]
    if tokenised:
        return ranks
    tokens = _tokens(hyp for rank in ranks for hyp in rank)
    return [[tokens[hyp] for hyp in rank] for rank in ranks]


def _run(metric: Metric, captions: Captions, scores: CaptionScores) -> None:
    try:
        result = metric.score(captions)
    except Unavailable as error:
        for name in metric.names:
            _give_up(scores, name, str(error))
        return
    scores.corpus.update(result.corpus)
    for name, values in result.items.items():
        _add_items(scores, name, values)
    for name, rows in result.statistics.items():
        scores.statistics[name] = dict(zip(scores.items, rows))


def _add_items(scores: CaptionScores, name: str, values: Iterable[float]) -> None:
    for item, value in zip(scores.items.values(), values):
        item[name] = value


def _give_up(scores: CaptionScores, name: str, reason: str) -> None:
    scores.corpus[name] = None
    scores.unavailable[name] = reason
    for item in scores.items.values():
        item[name] = None


def _derive(name: str, scores: CaptionScores) -> None:
    (first, second), combine = DERIVED[name]
    for part in (first, second):
        if part in scores.unavailable:
            return _give_up(scores, name, scores.unavailable[part])
    values = [combine(item[first] or 0.0, item[second] or 0.0) for item in scores.items.values()]
    _add_items(scores, name, values)
    scores.corpus[name] = mean(values)


def _spider_max(ranks: list[list[str]], captions: Captions, scores: CaptionScores, settings: Settings | None) -> None:
    (first, second), combine = DERIVED["SPIDEr"]
    metrics = [METRICS.load(part)(settings) for part in (first, second)]
    best = [0.0] * len(captions.ids)
    for hyps in ranks:
        try:
            parts = [metric.score(replace(captions, hyps=hyps)) for metric in metrics]
        except Unavailable as error:
            return _give_up(scores, "SPIDEr-max", str(error))
        items = zip(parts[0].items[first], parts[1].items[second])
        best = [max(old, combine(*new)) for old, new in zip(best, items)]
    _add_items(scores, "SPIDEr-max", best)
    scores.corpus["SPIDEr-max"] = mean(best)
