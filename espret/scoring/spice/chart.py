"""The Viterbi chart of a PCFG (CKY) and its best derivation, compiled by numba. Numbers only: no words, no Java.

The scores are those of CoreNLP's exhaustive parser bit for bit: single precision, added in its order (a maximum does
not depend on the order of what it is taken of; the closure of unary rules does, and goes in the same order). They take
a fifth of the time, because rules lie in arrays and an improvement is a maximum without a branch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
Records = npt.NDArray[Any]

RULE = np.dtype([("parent", np.uint32), ("child", np.uint32), ("score", np.float32)], align=True)
EXPANSION = np.dtype([("left", np.uint32), ("right", np.uint32), ("score", np.float32)], align=True)
# Derivations closer than this (log-probability; rounding is below 1e-4) are a tie, which is not decided here.
MARGIN = 1e-3
NO_CHILD = -1
_ROOM = 1024  # entries of active states a cell to begin with; more are made when they are needed


@dataclass(frozen=True)
class Grouped:
    """Rules grouped by a state: those of state q are `rules[start[q]:start[q + 1]]`."""

    start: Ints
    rules: Records


def group(keys: npt.NDArray[Any], rules: Records, states: int) -> Grouped:
    """Group `rules` by `keys` [rules], keeping their order within a group."""
    start = np.zeros(states + 1, np.uint32)
    np.cumsum(np.bincount(keys, minlength=states), out=start[1:])
    return Grouped(start, rules[np.argsort(keys, kind="stable")])


@dataclass(frozen=True)
class Grammar:
    """A binarised PCFG, log-probabilities. `tags[q]`: state q is a part of speech.

    Every binary rule is in `by_left` or in `by_right` (grouped by that child; RULE records with the other child), and
    all are in `by_parent` (EXPANSION records). `closure` has the transitive closure of the unary rules by child (RULE
    records, child unused), `unary_by_parent` the unary rules themselves (EXPANSION records, right unused).
    """

    goal: int
    tags: npt.NDArray[np.bool_]
    by_left: Grouped
    by_right: Grouped
    closure: Grouped
    by_parent: Grouped
    unary_by_parent: Grouped


@dataclass(frozen=True)
class Derivation:
    """A derivation, parents before their children. Node i is `state[i]` over two nodes (`left[i]`, `right[i]`), over
    one (`right[i]` is NO_CHILD), or, a part of speech (both NO_CHILD), over word `word[i]`."""

    state: list[int]
    left: list[int]
    right: list[int]
    word: list[int]


class Chart:
    """A parser with the working memory of one thread, 2 * states * words^2 bytes, which is kept between sentences."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        states = len(grammar.tags)
        self._scores = np.empty((0, states), np.float32)
        self._active = np.empty(0, np.uint32)
        left, right = (np.diff(rows.start.astype(np.int64)) > 0 for rows in (grammar.by_left, grammar.by_right))
        self._kinds = (left + 2 * right).astype(np.uint8)
        self._unary = np.flatnonzero(np.diff(grammar.closure.start.astype(np.int64))).astype(np.uint32)

    def best(self, words: list[tuple[Ints, Floats]]) -> Derivation | None:
        """The best derivation of the goal over `words`, each (states [k], scores [k]) with unary rules applied.

        None where there is none or where it is not the only one within MARGIN. The last word is the mark of the
        sentence's end: nothing but the whole sentence contains it.
        """
        g, n = self._grammar, len(words)
        scores = self._cells(words)
        rules = (g.by_left.start, g.by_left.rules, g.by_right.start, g.by_right.rules, g.closure.start, g.closure.rules)
        while not _fill(scores, n, *rules, self._kinds, self._unary, self._active):
            self._active = np.empty(2 * self._active.size, np.uint32)
        found = np.empty((16 * n + 64, 4), np.int32)
        expansions = (g.by_parent.start, g.by_parent.rules, g.unary_by_parent.start, g.unary_by_parent.rules)
        nodes = _derive(scores, n, g.goal, g.tags, *expansions, found)
        return Derivation(*(column.tolist() for column in found[:nodes].T)) if nodes else None

    def _cells(self, words: list[tuple[Ints, Floats]]) -> Floats:
        n = len(words)
        cells = n * (n + 1) // 2
        if len(self._scores) < cells:
            self._scores = np.empty((cells, self._scores.shape[1]), np.float32)
            self._active = np.empty(max(self._active.size, cells * _ROOM, 2 * len(self._kinds)), np.uint32)
        scores = self._scores[:cells]
        for at, (states, values) in enumerate(words):
            row = scores[at * n - at * (at - 1) // 2]
            row.fill(-np.inf)
            row[states] = values
        return scores


# The compiled part. Its callers give arrays of the types above.
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled when it is first called, kept on disk, and run without Python's lock."""
    done: Callable[..., Any]
    try:
        done = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # nowhere to keep it: neither this folder nor the user's may be written to
        done = numba.njit(nogil=True)(function)
    return done


@compiled
def _cell(start, end, n):  # type: ignore[no-untyped-def]
    """The row of span [start, end) of n words."""
    return start * n - start * (start - 1) // 2 + end - start - 1


@compiled
def _by_left(into, states, lefts, rights, start, rules):  # type: ignore[no-untyped-def]
    """Apply the rules whose left child is among `states` to one split."""
    for i in range(states.size):
        state = states[i]
        score = lefts[state]
        for j in range(start[state], start[state + np.uint64(1)]):
            rule = rules[j]
            into[rule.parent] = max(into[rule.parent], (rule.score + score) + rights[rule.child])


@compiled
def _by_right(into, states, lefts, rights, start, rules):  # type: ignore[no-untyped-def]
    """Apply the rules whose right child is among `states` to one split."""
    for i in range(states.size):
        state = states[i]
        score = rights[state]
        for j in range(start[state], start[state + np.uint64(1)]):
            rule = rules[j]
            into[rule.parent] = max(into[rule.parent], (rule.score + lefts[rule.child]) + score)


@compiled
def _close(into, states, start, rules):  # type: ignore[no-untyped-def]
    """Apply the closure of the unary rules in place, in the order of the states."""
    for i in range(states.size):
        state = states[i]
        score = into[state]
        if score != -np.inf:
            for j in range(start[state], start[state + np.uint64(1)]):
                rule = rules[j]
                into[rule.parent] = max(into[rule.parent], score + rule.score)


@compiled
def _list(row, kinds, side, active, top):  # type: ignore[no-untyped-def]
    """Append to `active` the states in a cell that rules are grouped by on that side; returns the new top."""
    for state in range(kinds.size):
        active[top] = state
        top += (row[state] != -np.inf) & ((kinds[state] >> side) & 1)
    return top


@compiled
def _fill(scores, n, left_start, left, right_start, right, closure_start, closure, kinds, unary, active):  # type: ignore[no-untyped-def]
    """Fill the cells of two and more words. False if `active`, the lists of states that are in a cell, is too short."""
    bounds = np.zeros((scores.shape[0], 3), np.int64)  # of a cell's list of left children and its list of right ones
    top = 0
    for width in range(1, n + 1):
        for start in range(n - width + 1):
            end = start + width
            here = _cell(start, end, n)
            into = scores[here]
            if width > 1:
                into[:] = -np.inf
                if end == n and start > 0:
                    continue
            for middle in range(start + 1, end):
                a, b = _cell(start, middle, n), _cell(middle, end, n)
                _by_left(into, active[bounds[a, 0] : bounds[a, 1]], scores[a], scores[b], left_start, left)
                _by_right(into, active[bounds[b, 1] : bounds[b, 2]], scores[a], scores[b], right_start, right)
            if width > 1:
                _close(into, unary, closure_start, closure)
            if top + 2 * kinds.size > active.size:
                return False
            bounds[here, 0] = top
            bounds[here, 1] = _list(into, kinds, 0, active, top)
            bounds[here, 2] = top = _list(into, kinds, 1, active, bounds[here, 1])
    return True


@compiled
def _best_split(scores, n, state, start, end, begin, rules):  # type: ignore[no-untyped-def]
    """The best binary rule for a node: score, score of the second best, where it splits, and which rule."""
    best, second, split, chosen = -np.inf, -np.inf, -1, -1
    for middle in range(start + 1, end):
        lefts, rights = scores[_cell(start, middle, n)], scores[_cell(middle, end, n)]
        for j in range(begin[state], begin[state + 1]):
            rule = rules[j]
            score = np.float64(rule.score) + np.float64(lefts[rule.left]) + np.float64(rights[rule.right])
            if score > best:
                best, second, split, chosen = score, best, middle, np.int64(j)
            elif score > second:
                second = score
    return best, second, split, chosen


@compiled
def _best_unary(row, state, begin, rules):  # type: ignore[no-untyped-def]
    """The best unary rule for a node: score, score of the second best, and which rule."""
    best, second, chosen = -np.inf, -np.inf, -1
    for j in range(begin[state], begin[state + 1]):
        score = np.float64(rules[j].score) + np.float64(row[rules[j].left])
        if score > best:
            best, second, chosen = score, best, np.int64(j)
        elif score > second:
            second = score
    return best, second, chosen


@compiled
def _derive(scores, n, goal, tags, binary_start, binary, unary_start, unary, found):  # type: ignore[no-untyped-def]
    """Write the best derivation to `found` [nodes, (state, left, right, word)], return its number of nodes; 0: none."""
    spans = np.empty((found.shape[0], 2), np.int64)
    found[0, 0] = goal
    spans[0] = 0, n
    made, at = 1, 0
    while at < made:
        state, start, end = found[at, 0], spans[at, 0], spans[at, 1]
        found[at, 1], found[at, 2], found[at, 3] = NO_CHILD, NO_CHILD, start
        if not (tags[state] and end - start == 1):
            best, second, split, two = _best_split(scores, n, state, start, end, binary_start, binary)
            best_unary, second_unary, one = _best_unary(scores[_cell(start, end, n)], state, unary_start, unary)
            second = max(second, second_unary, min(best, best_unary))
            if max(best, best_unary) == -np.inf or second > max(best, best_unary) - MARGIN or made + 2 > len(found):
                return 0
            found[at, 1] = made
            if best_unary > best:
                found[made, 0] = unary[one].left
                spans[made] = start, end
                made += 1
            else:
                found[at, 2] = made + 1
                found[made, 0], found[made + 1, 0] = binary[two].left, binary[two].right
                spans[made] = start, split
                spans[made + 1] = split, end
                made += 2
        at += 1
    return made
