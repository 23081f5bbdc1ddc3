"""What of a candidate caption matches what of a reference, found in METEOR 1.5's order; the search among the matches.

Source: Denkowski and Lavie 2014, and METEOR 1.5's jar, whose behaviour is reproduced. What words and phrases mean is in
`lexicon` and `paraphrases`, what the chosen matches are worth in `metric`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np

from espret.scoring.meteor.lexicon import Lexicon, java_hash
from espret.scoring.meteor.paraphrases import Index, Occurrence

EXACT, STEM, SYNONYM, PARAPHRASE = range(4)  # METEOR's modules
CONTENT, FUNCTION = 0.75, 0.25  # what a word counts
BEAM = 40
LONGEST = 500  # words of a caption; longer ones are Java's
# A path's rank is one whole number, exact in float64: matched words (negative, at most 2 x 500), then chunks (at most
# 501), then distance (`searchable`).
CHUNK, WORD = 2.0**32, 2.0**42

Thing = TypeVar("Thing", str, int)
Match = tuple[int, int, int, int, int]  # module; first word and words in the reference; the same in the candidate
Path = tuple[float, int, int, Any]  # rank, used words, end of the last match or -1, matches as nested pairs
rank = itemgetter(0)


class Caption(NamedTuple):
    """A caption with what does not depend on what it is aligned with."""

    words: list[str]
    keys: list[int]  # equal for words that METEOR takes for equal
    worth: list[float]  # CONTENT or FUNCTION
    phrases: list[Occurrence]  # those of the table, by first word and length


class Candidate:
    """A candidate caption with what its references, the only ones that it is aligned with, have in common."""

    def __init__(self, caption: Caption, refs: Sequence[Caption], words: Words) -> None:
        self.caption = caption
        self._words = words
        self._places = _places(enumerate(caption.words))
        self._options: dict[str, list[tuple[int, int]]] = {}
        sizes = {phrase: size for _, size, phrase in caption.phrases}
        begins = _places((begin, phrase) for begin, _, phrase in caption.phrases)
        theirs = {phrase for ref in refs for _, _, phrase in ref.phrases}
        # What a phrase of a reference matches: by the reference's entries in the table, and by the candidate's. The
        # latter are numbered in the order in which METEOR comes to them.
        self._by_ref: dict[int, list[tuple[int, int]]] = {}
        for source in theirs & words.entries.keys():
            if not sizes.keys().isdisjoint(words.entries[source]):
                targets = [target for target in words.entries[source] if target in sizes]
                self._by_ref[source] = [(begin, sizes[target]) for target in targets for begin in begins[target]]
        self._by_hyp: dict[int, list[tuple[int, int, int]]] = {}
        number = count()
        for begin, size, phrase in caption.phrases:
            if not theirs.isdisjoint(words.entries.get(phrase, ())):
                for target in words.entries[phrase]:
                    self._by_hyp.setdefault(target, []).append((next(number), begin, size))

    def matches(self, ref: Caption) -> list[list[Match]]:
        """All matches by the first word that they take of the reference, in the order in which METEOR finds them."""
        found: list[list[Match]] = []
        for place, word in enumerate(ref.words):
            if (options := self._options.get(word)) is None:
                options = self._options[word] = self._find(word)
            found.append([(module, place, 1, begin, 1) for module, begin in options])
        if self.caption.keys == ref.keys:  # then METEOR looks for exact matches only
            return [[match for match in matches if match[0] == EXACT] for matches in found]
        self._rewrite(ref, found)
        return found

    def _find(self, word: str) -> list[tuple[int, int]]:
        """Module and place of each word of the candidate that matches a word, by module and place."""
        related, places = self._words.related[word], self._places
        shared = related.keys() & places.keys()
        return sorted((module, place) for other in shared for module in related[other] for place in places[other])

    def _rewrite(self, ref: Caption, found: list[list[Match]]) -> None:
        """Add paraphrases: of the reference's phrases in the candidate, then of the candidate's in the reference."""
        by_ref, by_hyp = self._by_ref, self._by_hyp
        later = []
        for place, size, phrase in ref.phrases:
            if phrase in by_ref:
                found[place] += [(PARAPHRASE, place, size, begin, words) for begin, words in by_ref[phrase]]
            if phrase in by_hyp:
                later += [(number, place, size, begin, words) for number, begin, words in by_hyp[phrase]]
        later.sort()
        for _, place, size, begin, words in later:
            found[place].append((PARAPHRASE, place, size, begin, words))


class Words:
    """What METEOR knows of the words and phrases of some captions, each a list of normalised words, of which the
    candidates are named."""

    def __init__(
        self, captions: Mapping[str, list[str]], candidates: Iterable[str], lexicon: Lexicon, index: Index
    ) -> None:
        keys = {word: java_hash(word) for word in {word for caption in captions.values() for word in caption}}
        self.related = lexicon.relatives(keys, (word for text in candidates for word in captions[text]))
        worth = {word: FUNCTION if word in lexicon.function else CONTENT for word in keys}
        found = self._phrases(list(captions.values()), index)
        self.captions = {
            text: Caption(
                caption,
                [keys[word] for word in caption],
                [worth[word] for word in caption],
                phrases,
            )
            for (text, caption), phrases in zip(captions.items(), found)
        }

    def _phrases(self, captions: Sequence[list[str]], index: Index) -> list[list[Occurrence]]:
        """The phrases of each caption that take part in an entry of which both sides occur."""
        occurrences, rows = index.occurrences(captions)
        self.entries = index.entries(np.unique(occurrences[:, 2]))
        useful = np.zeros(occurrences[:, 2].max(initial=0) + 1, dtype=bool)
        useful[[*self.entries, *{target for targets in self.entries.values() for target in targets}]] = True
        kept = useful[occurrences[:, 2]]
        begins, sizes, phrases = (column.tolist() for column in occurrences[kept].T)
        every = list(zip(begins, sizes, phrases))
        ends = np.searchsorted(rows[kept], np.arange(len(captions)), side="right").tolist()
        return [every[begin:end] for begin, end in zip([0, *ends], ends)]


def _places(things: Iterable[tuple[int, Thing]]) -> dict[Thing, list[int]]:
    places: dict[Thing, list[int]] = {}
    for place, thing in things:
        places.setdefault(thing, []).append(place)
    return places


def searchable(matches: Sequence[Sequence[Match]], width: int) -> bool:
    """Whether the distances of all matches together stay below CHUNK, as `search` needs."""
    return sum(map(len, matches)) * max(width, len(matches)) < CHUNK


def search(matches: list[list[Match]], width: int) -> list[Match]:
    """METEOR's choice among the matches with a candidate of `width` words, by first word in the reference.

    Paths go through the reference word by word, each word taken by a match or skipped; the best 40 go on. Paths that
    rank the same keep their order, so that also ties end as in Java. Two of METEOR's ways differ from the paper: what
    a match adds to a rank is cut to whole words (0 for a single word unless exact), and the distance of a match that
    is tried is added to the path that skips it and to those that take a later one, not to the path that takes it.
    """
    fixed, used = _certain(matches, width)
    if sum(map(len, matches)) == len(fixed):
        return list(fixed.values())
    steps = [[_step(match, width) for match in options] for options in matches]
    paths: list[Path] = [(0.0, used, -1, None)]
    for place in range(len(matches)):
        bit = 1 << (width + place)
        if place in fixed:
            paths = [_take(path, *steps[place][0]) for path in paths]
        elif used & bit:
            continue  # within a match that is certain
        elif steps[place]:
            paths = _branch(paths, steps[place], bit)
        else:
            paths = [
                path if path[1] & bit or path[2] < 0 else (path[0] + CHUNK, path[1], -1, path[3]) for path in paths
            ]
        if len(paths) > 1:
            paths.sort(key=rank)
            del paths[BEAM:]
    chosen = []
    _, _, _, link = min(((path[0] + CHUNK if path[2] >= 0 else path[0], *path[1:]) for path in paths), key=rank)
    while link:
        match, link = link
        chosen.append(match)
    return chosen[::-1]


Step = tuple[float, int, int, int, float, Match]  # added rank, used words, begin and end in the candidate, distance


def _step(match: Match, width: int) -> Step:
    module, place, size, begin, words = match
    gain = size + words if module == EXACT else size // 2 + words // 2
    used = ((1 << words) - 1) << begin | ((1 << size) - 1) << (width + place)
    return -gain * WORD, used, begin, begin + words, float(abs(place - begin)), match


def _take(path: Path, gain: float, used: int, begin: int, end: int, distance: float, match: Match) -> Path:
    value, before, last, link = path
    return value + gain + distance + (CHUNK if last >= 0 and begin != last else 0.0), before | used, end, (match, link)


def _branch(paths: list[Path], steps: list[Step], bit: int) -> list[Path]:
    following: list[Path] = []
    add = following.append
    for path in paths:
        value, used, last, link = path
        if used & bit:
            add(path)
            continue
        for gain, words, begin, end, distance, match in steps:
            if not used & words:
                broken = CHUNK if last >= 0 and begin != last else 0.0
                add((value + gain + broken, used | words, end, (match, link)))
                value += distance
        add((value + CHUNK if last >= 0 else value, used, -1, link))
    return following


def _certain(matches: list[list[Match]], width: int) -> tuple[dict[int, Match], int]:
    """Matches whose words take part in no other one, by first word, and the words that they use."""
    hyp, ref = [0] * width, [0] * len(matches)
    for options in matches:
        for _, place, size, begin, words in options:
            for at in range(begin, begin + words):
                hyp[at] += 1
            for at in range(place, place + size):
                ref[at] += 1
    fixed, used = {}, 0
    for options in matches:
        if len(options) == 1:
            _, place, size, begin, words = options[0]
            if sum(ref[place : place + size]) == size and sum(hyp[begin : begin + words]) == words:
                fixed[place] = options[0]
                used |= _step(options[0], width)[1]
    return fixed, used
