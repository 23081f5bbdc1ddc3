"""The chart against a plain CKY over all derivations of small random grammars, ties and sentences without a parse."""

import numpy as np
import pytest

from espret.scoring.spice.chart import EXPANSION, MARGIN, NO_CHILD, RULE, Chart, Derivation, Grammar, group

Rules = dict[tuple[int, ...], float]  # (parent, left, right) or (parent, child) -> log-probability
END = 0  # the state of the sentence's end; goal 1 -> state 2 over the words, END over the mark


def grammar(states: int, tags: set[int], rules: Rules) -> Grammar:
    binary = [(*key, score) for key, score in rules.items() if len(key) == 3]
    unary = [(*key, score) for key, score in rules.items() if len(key) == 2]
    assert all(child > parent for parent, child, _ in unary), "so that a chain has no loops"
    closure = {(parent, child): np.float32(score) for parent, child, score in unary}
    for _ in range(states):  # chains of any length
        for (upper, middle), score in list(closure.items()):
            for (parent, child), more in list(closure.items()):
                if parent == middle:
                    closure[upper, child] = max(closure.get((upper, child), -np.inf), np.float32(score + more))

    def records(kind: np.dtype, rows: list[tuple[float, ...]]) -> np.ndarray:
        return np.array(rows, dtype=kind) if rows else np.empty(0, kind)

    half = len(binary) // 2
    left, right = binary[:half], binary[half:]
    keys = [np.array([row[at] for row in rows], int) for rows, at in ((left, 1), (right, 2), (binary, 0), (unary, 0))]
    chains = [(parent, child, score) for (parent, child), score in closure.items()]
    return Grammar(
        goal=1,
        tags=np.isin(np.arange(states), list(tags)),
        by_left=group(keys[0], records(RULE, [(p, r, s) for p, _, r, s in left]), states),
        by_right=group(keys[1], records(RULE, [(p, b, s) for p, b, _, s in right]), states),
        closure=group(np.array([c for _, c, _ in chains], int), records(RULE, chains), states),
        by_parent=group(keys[2], records(EXPANSION, [(b, r, s) for _, b, r, s in binary]), states),
        unary_by_parent=group(keys[3], records(EXPANSION, [(c, c, s) for _, c, s in unary]), states),
    )


def word(cells: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(cells), np.uint32), np.array(list(cells.values()), np.float32)


def all_scores(rules: Rules, words: list[dict[int, float]], state: int, start: int, end: int) -> list[float]:
    """The scores of all derivations."""
    if end - start == 1:
        return [words[start][state]] if state in words[start] else []
    found = []
    for key, score in rules.items():
        if key[0] != state:
            continue
        if len(key) == 2:
            found += [score + below for below in all_scores(rules, words, key[1], start, end)]
            continue
        for split in range(start + 1, end):
            if split == end - 1 or end < len(words):  # the mark of the end is in nothing but the whole
                lefts = all_scores(rules, words, key[1], start, split)
                rights = all_scores(rules, words, key[2], split, end) if lefts else []
                found += [score + left + right for left in lefts for right in rights]
    return found


def score_of(found: Derivation, rules: Rules, words: list[dict[int, float]], node: int = 0) -> float:
    state, left, right = found.state[node], found.left[node], found.right[node]
    if left == NO_CHILD:
        return words[found.word[node]][state]
    if right == NO_CHILD:
        return rules[state, found.state[left]] + score_of(found, rules, words, left)
    both = score_of(found, rules, words, left) + score_of(found, rules, words, right)
    return rules[state, found.state[left], found.state[right]] + both


@pytest.mark.parametrize("seed", range(20))
def test_best_derivation_of_a_random_grammar(seed: int) -> None:
    choice = np.random.default_rng(seed)
    states, tags = 12, {0, 8, 9, 10, 11}
    rules: Rules = {(1, 2, END): -0.5}
    for _ in range(40):
        parent = int(choice.integers(2, 8))
        rules[parent, int(choice.integers(2, 12)), int(choice.integers(2, 12))] = -float(choice.gamma(2.0))
    for _ in range(4):
        parent = int(choice.integers(2, 7))
        rules[parent, int(choice.integers(parent + 1, 8))] = -float(choice.gamma(2.0))
    rules = {key: float(np.float32(score)) for key, score in rules.items()}
    words = [
        {int(tag): -float(np.float32(choice.gamma(2.0))) for tag in choice.choice([8, 9, 10, 11], 2, False)}
        for _ in range(5)
    ]
    words.append({END: 0.0})
    chart = Chart(grammar(states, tags, rules))
    for n in (2, 5, 4):  # the memory of one sentence serves the next
        some = [*words[:n], words[-1]]
        found = chart.best([word(cells) for cells in some])
        scores = sorted(all_scores(rules, some, 1, 0, n + 1), reverse=True)
        if not scores or scores[0] - max(scores[1:], default=-np.inf) < MARGIN:
            assert found is None
        else:
            assert found is not None
            assert score_of(found, rules, some) == pytest.approx(scores[0], abs=1e-4)
            assert sorted(found.word[i] for i, left in enumerate(found.left) if left == NO_CHILD) == list(range(n + 1))


def test_a_tie_is_not_decided() -> None:
    rules: Rules = {(1, 2, END): 0.0, (2, 3, 4): -1.0, (2, 4, 3): -1.0}
    words = [{3: -1.0, 4: -1.0}, {3: -1.0, 4: -1.0}, {END: 0.0}]
    assert Chart(grammar(5, {0, 3, 4}, rules)).best([word(cells) for cells in words]) is None
    rules[2, 4, 3] = -1.1
    found = Chart(grammar(5, {0, 3, 4}, rules)).best([word(cells) for cells in words])
    assert found is not None and found.state == [1, 2, END, 3, 4]


def test_a_sentence_without_a_parse() -> None:
    rules: Rules = {(1, 2, END): 0.0, (2, 3, 4): -1.0}
    words = [{4: -1.0}, {4: -1.0}, {END: 0.0}]
    assert Chart(grammar(5, {0, 3, 4}, rules)).best([word(cells) for cells in words]) is None
