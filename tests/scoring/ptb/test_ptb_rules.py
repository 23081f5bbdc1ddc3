"""The PTB tokenizer's rules against the tables of the Java lexer, for all texts at once: both are finite automata, so
that walking through them side by side compares every beginning of a match there is."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import pytest

from espret.scoring.java import coco_tools, start
from espret.scoring.ptb.automaton import NO_RULE
from espret.scoring.ptb.rules import RULES
from espret.scoring.ptb.tokenizer import _lexer, clean

pytestmark = pytest.mark.java

LEXER = "edu.stanford.nlp.process.PTBLexer"
# Which of its start states the tokenizer takes, unless it is told to be strict about the Treebank.
STATE = "YyTraditionalTreebank3"
ACCEPTS = 1


class JavaLexer:
    """The tables that JFlex made of the lexer: `next(state, char)` is None where nothing matches."""

    def __init__(self) -> None:
        start()
        self._class = coco_tools().reflect(LEXER)
        self.kinds = [ord(kind) for kind in self._table("ZZ_CMAP")]
        self._rows, self._next = self._table("ZZ_ROWMAP"), self._table("ZZ_TRANS")
        self._actions, self._attributes = self._table("ZZ_ACTION"), self._table("ZZ_ATTRIBUTE")
        self.start = int(self._table("ZZ_LEXSTATE")[int(self._field(STATE))])

    def next(self, state: int | None, char: str) -> int | None:
        found = -1 if state is None else self._next[self._rows[state] + self.kinds[ord(char)]]
        return None if found < 0 else found

    def action(self, state: int | None) -> int | None:
        """The number of what is done with a match that ends in this state; None: no match ends there."""
        return None if state is None or not self._attributes[state] & ACCEPTS else self._actions[state]

    def _field(self, name: str) -> Any:
        field = self._class.getDeclaredField(name)
        field.setAccessible(True)
        return field.get(None)

    def _table(self, name: str) -> list[Any]:
        return list(self._field(name)[:])


def characters(java: JavaLexer) -> list[str]:
    """One character of each sort that either automaton tells from others, of those that a line may hold or end with."""
    sorts = {}
    for code in range(0x10000):
        char = chr(code)
        if char == "\n" or clean(char) == char:
            sorts.setdefault((java.kinds[code], _lexer().positions_of(char)), char)
    return list(sorts.values())


def ends_of_matches() -> Iterator[tuple[str, int | None, int]]:
    """Every pair of states that some text leads to: a shortest such text, Java's action there, our rule there."""
    java = JavaLexer()
    chars = characters(java)
    first = (java.start, _lexer()._start)
    queue: deque[tuple[int | None, Any, str]] = deque([(*first, "")])
    seen = {(first[0], id(first[1]))}
    while queue:
        theirs, ours, text = queue.popleft()
        yield text, java.action(theirs), NO_RULE if ours is None else ours.rule
        for char in chars:
            pair = java.next(theirs, char), None if ours is None else ours[char]
            if pair != (None, None) and (pair[0], id(pair[1])) not in seen:
                seen.add((pair[0], id(pair[1])))
                queue.append((*pair, text + char))


def test_the_same_texts_match_and_the_same_is_done_with_them() -> None:
    only_one = []
    done = defaultdict(set)
    for text, action, number in ends_of_matches():
        if (action is None) != (number == NO_RULE):
            only_one.append(text)
        elif action is not None:
            rule = RULES[number]
            done[action].add((rule.form.__name__, rule.form("x"), bool(rule.before), rule.back))
    assert not only_one
    assert len(done) > 40
    # One action there, two rules here: telephone numbers with dots need no rewriting, and for an acronym before a
    # sentence its length counts.
    several = sorted(sorted(forms) for forms in done.values() if len(forms) > 1)
    assert several == [
        [("phone", "x", False, 0), ("same", "x", False, 0)],
        [("same", "x", True, 0), ("same", "x", True, 1)],
    ]
