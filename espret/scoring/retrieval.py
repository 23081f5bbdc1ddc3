"""Retrieval metrics from a similarity matrix: recall at k, average precision, median and mean rank, both directions.

t2a: each caption is a query, its clip the only right answer. a2t: each clip is a query, its own captions (five, as a
rule) are the right answers; recall and ranks are those of the best of them (audio-retrieval, Oncescu et al. 2021),
which is not the share of the five that is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from espret.errors import EspretError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Similarity = npt.NDArray[np.floating]

CUTOFFS = (1, 5, 10, 50)
DEPTH = 10  # of the average precision
BLOCK = 1 << 22  # matrix elements worked on at a time


@dataclass(frozen=True)
class RetrievalScores:
    """`metrics`: "t2a/R@1", ..., "a2t/MeanR"; R@k and mAP@10 in percent, ranks from 1.

    `t2a_ranks` has one rank a caption; `a2t_ranks` one a clip that has captions, in the order of the columns: that of
    the clip's best caption. `a2t_own_ranks` has each caption's rank among all for its clip.
    """

    metrics: dict[str, float]
    t2a_ranks: Floats
    a2t_ranks: Floats
    a2t_own_ranks: Floats


def rank_metrics(
    sim: Similarity,
    caption_to_clip: Sequence[int] | Ints,
    captions: Sequence[str] | None = None,
    clips: Sequence[str] | None = None,
    a2t_ties: Literal["shared", "averaged"] = "shared",
) -> RetrievalScores:
    """Metrics of similarities `sim` [captions, clips], larger is closer; `caption_to_clip[i]` is caption i's column.

    Ties: a right answer that is alone among its equals gets the mean of the ranks that they occupy, as in
    audio-retrieval; the i-th of m right answers among T equals that g others precede gets g + i (T + 1) / (m + 1), its
    expected place if the equals were shuffled. So a constant matrix has the mean rank of guessing, in both directions.
    audio-retrieval gives each of the m the mean rank of all T, which marks a clip down whose own captions tie;
    `a2t_ties="averaged"` does so for the a2t ranks, to reproduce its numbers. R@1 counts ranks that are exactly 1, R@k
    for k > 1 those below k + 1: a tie with a wrong answer for the first place is no hit at 1.

    mAP@10 is the mean over queries of (1 / min(P, 10)) sum of i / rank_i over right answers with rank_i <= 10, where P
    is the number of right answers and rank_i the rank of the i-th best; for t2a that is 1 / rank, or 0 beyond 10.

    Clips without captions are candidates of t2a, not queries of a2t. Raises EspretError for shapes that do not fit, no
    captions, and a similarity that is not finite; `captions` and `clips` are the ids that the message names.
    """
    own = np.asarray(caption_to_clip, dtype=np.int64)
    _check(sim, own, captions, clips)
    t2a_ranks = _t2a_ranks(sim, own)
    a2t_ranks, precisions, own_ranks = _a2t(sim, own, a2t_ties == "averaged")
    metrics = _summary("t2a", t2a_ranks, t2a_precisions(t2a_ranks)) | _summary("a2t", a2t_ranks, precisions)
    return RetrievalScores(metrics, t2a_ranks, a2t_ranks, own_ranks)


def query_values(ranks: Floats, precisions: Floats) -> dict[str, Floats]:
    """What the metrics (but for MedR) are means of, from ranks and average precisions of queries [queries]: R@k, 100 or
    0, mAP@10 in percent, and MeanR."""
    hits = {k: ranks == 1 if k == 1 else ranks < k + 1 for k in CUTOFFS}
    recalls = {f"R@{k}": np.where(hit, 100.0, 0.0) for k, hit in hits.items()}
    return {**recalls, f"mAP@{DEPTH}": 100 * precisions, "MeanR": ranks}


def t2a_precisions(ranks: Floats) -> Floats:
    """Average precision at DEPTH of queries with one right answer each, from its ranks. [queries]"""
    return np.where(ranks <= DEPTH, 1 / ranks, 0.0)


def a2t_precision(ranks: Floats) -> float:
    """Average precision at DEPTH of one query, from the ascending ranks of all its right answers."""
    hits = np.flatnonzero(ranks <= DEPTH)
    return float(((hits + 1) / ranks[hits]).sum() / min(len(ranks), DEPTH))


def top(sim: Similarity, depth: int = DEPTH) -> Ints:
    """Columns of the `depth` largest similarities of each row, best first; equals in column order. [rows, depth]"""
    depth = min(depth, sim.shape[1])
    found = np.empty((sim.shape[0], depth), dtype=np.int64)
    for rows in _blocks(*sim.shape):
        block = np.asarray(sim[rows])
        least = np.partition(block, -depth, axis=1)[:, -depth]
        for row, (values, bound) in enumerate(zip(block, least), rows.start):
            columns = np.flatnonzero(values >= bound)  # more than `depth` where the last place is shared
            found[row] = columns[np.argsort(-values[columns], kind="stable")[:depth]]
    return found


def _check(sim: Similarity, own: Ints, captions: Sequence[str] | None, clips: Sequence[str] | None) -> None:
    if sim.ndim != 2 or own.shape != sim.shape[:1]:
        raise EspretError(
            f"similarities of shape {sim.shape} do not fit {own.size} captions: expected [captions, clips]"
        )
    if not own.size:
        raise EspretError("no captions to score: the similarity matrix is empty")
    if own.min() < 0 or own.max() >= sim.shape[1]:
        raise EspretError(f"a caption's clip is column {own.max()} of {sim.shape[1]}")
    for rows in _blocks(*sim.shape):
        bad = np.argwhere(~np.isfinite(sim[rows]))
        if bad.size:
            row, column = int(bad[0, 0]) + rows.start, int(bad[0, 1])
            caption = captions[row] if captions is not None else f"row {row}"
            clip = clips[column] if clips is not None else f"column {column}"
            raise EspretError(
                f"the similarity of caption {caption} and clip {clip} is {sim[row, column]}, not a finite number"
            )


def _t2a_ranks(sim: Similarity, own: Ints) -> Floats:
    ranks = np.empty(len(own))
    for rows in _blocks(*sim.shape):
        block = np.asarray(sim[rows])
        right = block[np.arange(len(block)), own[rows]][:, None]
        above = np.count_nonzero(block > right, axis=1)
        equal = np.count_nonzero(block == right, axis=1)
        ranks[rows] = above + (equal + 1) / 2
    return ranks


def _a2t(sim: Similarity, own: Ints, averaged: bool) -> tuple[Floats, Floats, Floats]:
    """Of each clip with captions: the rank of its best caption, and the average precision at DEPTH; of each caption:
    its rank for its clip, those of equal similarity in the order of the rows."""
    by_clip = np.argsort(own, kind="stable")
    clips, starts = np.unique(own[by_clip], return_index=True)
    groups = np.split(by_clip, starts[1:])
    best, precisions, own_ranks = np.empty(len(clips)), np.empty(len(clips)), np.empty(len(own))
    for some in _blocks(len(clips), sim.shape[0]):
        columns = np.ascontiguousarray(np.asarray(sim[:, clips[some]]).T)
        for i, column in enumerate(columns, some.start):
            ranks = _own_ranks(column, groups[i])
            best[i] = _best_averaged(column, groups[i]) if averaged else ranks[0]
            precisions[i] = a2t_precision(ranks)
            own_ranks[groups[i][np.argsort(-column[groups[i]], kind="stable")]] = ranks
    return best, precisions, own_ranks


def _own_ranks(column: Similarity, own: Ints) -> Floats:
    """Ranks of the captions `own` among all in `column`, ascending, ties shared out as `rank_metrics` says."""
    ordered = np.sort(column)
    values, counts = np.unique(column[own], return_counts=True)
    at_least = len(column) - np.searchsorted(ordered, values, side="left")
    above = len(column) - np.searchsorted(ordered, values, side="right")
    ranks: list[float] = []
    for g, reach, m in zip(above[::-1], at_least[::-1], counts[::-1]):
        ranks += [g + i * (reach - g + 1) / (m + 1) for i in range(1, m + 1)]
    return np.array(ranks)


def _best_averaged(column: Similarity, own: Ints) -> float:
    right = column[own].max()
    return float(np.count_nonzero(column > right) + (np.count_nonzero(column == right) + 1) / 2)


def _summary(direction: str, ranks: Floats, precisions: Floats) -> dict[str, float]:
    means = {name: float(np.mean(values)) for name, values in query_values(ranks, precisions).items()}
    mean_rank = means.pop("MeanR")  # listed last
    return {f"{direction}/{name}": value for name, value in means.items()} | {
        f"{direction}/MedR": float(np.median(ranks)),
        f"{direction}/MeanR": mean_rank,
    }


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows, so that a block has about BLOCK elements."""
    step = max(1, BLOCK // max(1, columns))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))
