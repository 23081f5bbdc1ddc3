"""Regular expressions whose longest match counts, run by automata that are built as the text needs them.

Python's `re` takes the first alternative that fits, a lexer the longest match of all its rules; this is for the latter.
What the rules are is not known here (see espret.scoring.ptb.rules).

Expressions: blanks and line breaks mean nothing; a letter stands for itself in either case; `[...]` is a character
class as in `re`, in which case counts; `{name}` is another expression or a set of characters; `( | ) * + ? {m,n}` and
`\\` as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from espret.errors import EspretError

NO_RULE = -1
CLASS = re.compile(r"\[\^?(?:\\.|[^\]\\])*\]", re.S)
NAME = re.compile(r"\{([a-z_]+)\}")
COUNT = re.compile(r"\{(\d+),(\d+)\}")
# Letters beside upper and lower case that are the same letter without case.
FOLDED = {"i": "\u0131\u0130", "k": "\u212a", "s": "\u017f"}

Characters: TypeAlias = "frozenset[str] | re.Pattern[str]"


@dataclass(frozen=True)
class _Part:
    """A parsed expression: the positions (bit sets) that may come first and last, and whether it matches nothing."""

    empty: bool
    first: int
    last: int


class _State(dict):
    """Where the automaton is: character -> next state, None where nothing matches; filled when first asked."""

    __slots__ = ("_owner", "_following", "rule")

    def __init__(self, owner: Automaton, following: int, rule: int) -> None:
        super().__init__()
        self._owner = owner
        self._following = following
        self.rule = rule

    def __missing__(self, char: str) -> _State | None:
        reached = self._following & self._owner.positions_of(char)
        state = self[char] = self._owner.state(reached) if reached else None
        return state


class Automaton:
    """Rules tried together from one place of a text: the longest match wins, of equally long ones the first rule."""

    def __init__(self, rules: Sequence[str], names: Mapping[str, str | frozenset[str]]) -> None:
        """`names`: what `{name}` stands for in a rule. Raises EspretError for an expression that cannot be read."""
        self._names = names
        self._sets: dict[Characters, int] = {}  # characters -> the positions where one of them stands
        self._follow: list[int] = []  # position -> the positions after it
        self._rule_of: list[int] = []
        self._ending = 0
        self._masks: dict[str, int] = {}
        self._states: dict[int, _State] = {}
        first = 0
        for rule, expression in enumerate(rules):
            part = _Parser(expression, self).whole()
            self._rule_of.extend([rule] * (len(self._follow) - len(self._rule_of)))
            self._ending |= part.last
            first |= part.first
        self._start = _State(self, first, NO_RULE)

    def longest(self, text: str, start: int) -> tuple[int, int]:
        """The end of the longest match at `start` and the number of its rule; (start, NO_RULE) when none matches."""
        state: _State | None = self._start
        end, rule = start, NO_RULE
        for place in range(start, len(text)):
            state = state[text[place]]  # type: ignore[index]
            if state is None:
                break
            if state.rule != NO_RULE:
                end, rule = place + 1, state.rule
        return end, rule

    def ends(self, text: str) -> list[int]:
        """The lengths, ascending, of all beginnings of `text` that match."""
        state: _State | None = self._start
        found = []
        for place, char in enumerate(text):
            state = state[char]  # type: ignore[index]
            if state is None:
                break
            if state.rule != NO_RULE:
                found.append(place + 1)
        return found

    def positions_of(self, char: str) -> int:
        """The positions where `char` may stand, as a bit set."""
        if char not in self._masks:
            mask = 0
            for chars, positions in self._sets.items():
                if char in chars if isinstance(chars, frozenset) else chars.match(char):
                    mask |= positions
            self._masks[char] = mask
        return self._masks[char]

    def state(self, reached: int) -> _State:
        """The state of having read the positions `reached`."""
        if reached not in self._states:
            ends = reached & self._ending
            # Positions are numbered in the order of the rules: the lowest is of the first rule.
            rule = self._rule_of[_lowest(ends)] if ends else NO_RULE
            following = 0
            for position in _bits(reached):
                following |= self._follow[position]
            self._states[reached] = _State(self, following, rule)
        return self._states[reached]

    def place(self, chars: Characters) -> _Part:
        """A new position, where one of `chars` stands."""
        bit = 1 << len(self._follow)
        self._follow.append(0)
        self._sets[chars] = self._sets.get(chars, 0) | bit
        return _Part(False, bit, bit)

    def join(self, left: _Part, right: _Part) -> _Part:
        """`left` followed by `right`."""
        for position in _bits(left.last):
            self._follow[position] |= right.first
        return _Part(
            left.empty and right.empty,
            left.first | (right.first if left.empty else 0),
            right.last | (left.last if right.empty else 0),
        )

    def named(self, name: str) -> _Part:
        """What `{name}` stands for."""
        if name not in self._names:
            raise EspretError(f"{{{name}}} in a tokenizer rule: no such expression")
        meaning = self._names[name]
        return self.place(meaning) if isinstance(meaning, frozenset) else _Parser(meaning, self).whole()


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _bits(bits: int) -> list[int]:
    found = []
    while bits:
        found.append(_lowest(bits))
        bits &= bits - 1
    return found


NOTHING = _Part(True, 0, 0)


class _Parser:
    """One expression, read into an automaton's positions."""

    def __init__(self, expression: str, automaton: Automaton) -> None:
        self._text = expression
        self._at = 0
        self._automaton = automaton

    def whole(self) -> _Part:
        part = self._choice()
        if self._peek():
            raise EspretError(f"a tokenizer rule has {self._peek()!r} where it should end: {self._text!r}")
        return part

    def _peek(self) -> str:
        while self._at < len(self._text) and self._text[self._at] in " \n":
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _choice(self) -> _Part:
        part = self._sequence()
        while self._peek() == "|":
            self._at += 1
            other = self._sequence()
            part = _Part(part.empty or other.empty, part.first | other.first, part.last | other.last)
        return part

    def _sequence(self) -> _Part:
        part = NOTHING
        while self._peek() not in ("", "|", ")"):
            part = self._automaton.join(part, self._repeated())
        return part

    def _repeated(self) -> _Part:
        start = self._at
        part = self._atom()
        sign = self._peek()
        if count := COUNT.match(self._text, self._at):
            return self._counted(start, count, part)
        if sign and sign in "*+?":
            self._at += 1
            if sign != "?":
                self._automaton.join(part, part)
            return part if sign == "+" else _Part(True, part.first, part.last)
        return part

    def _counted(self, start: int, count: re.Match[str], part: _Part) -> _Part:
        low, high = int(count[1]), int(count[2])
        if low == 0:
            part = _Part(True, part.first, part.last)
        for copy in range(2, high + 1):
            self._at = start
            another = self._atom()
            part = self._automaton.join(part, another if copy <= low else _Part(True, another.first, another.last))
        self._at = count.end()
        return part

    def _atom(self) -> _Part:
        sign = self._peek()
        if sign == "(":
            self._at += 1
            part = self._choice()
            if self._peek() != ")":
                raise EspretError(f"a tokenizer rule lacks a closing bracket: {self._text!r}")
            self._at += 1
            return part
        if found := CLASS.match(self._text, self._at) if sign == "[" else None:
            self._at = found.end()
            return self._automaton.place(re.compile(found[0]))
        if found := NAME.match(self._text, self._at) if sign == "{" else None:
            self._at = found.end()
            return self._automaton.named(found[1])
        if sign == "\\":
            self._at += 1
        char = self._text[self._at]
        self._at += 1
        return self._automaton.place(frozenset({char, char.lower(), char.upper(), *FOLDED.get(char.lower(), "")}))
