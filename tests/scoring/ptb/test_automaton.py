"""The longest-match automata, by hand and against Python's `re`."""

from __future__ import annotations

import itertools
import re

import pytest

from espret.errors import EspretError
from espret.scoring.ptb.automaton import NO_RULE, Automaton


def lengths(expression: str, text: str) -> list[int]:
    return Automaton([expression], {}).ends(text)


def test_the_longest_match_wins_whatever_the_order() -> None:
    automaton = Automaton(["a", "a b c", "a b"], {})
    assert automaton.longest("abx", 0) == (2, 2)
    assert automaton.longest("xabc", 1) == (4, 1)
    assert automaton.longest("b", 0) == (0, NO_RULE)
    assert automaton.longest("", 0) == (0, NO_RULE)


def test_of_equally_long_matches_the_first_rule_wins() -> None:
    assert Automaton(["[a-z]+", "dog"], {}).longest("dog ", 0) == (3, 0)
    assert Automaton(["dog", "[a-z]+"], {}).longest("dog ", 0) == (3, 0)
    assert Automaton(["dog", "[a-z]+"], {}).longest("dogs", 0) == (4, 1)


def test_letters_stand_for_both_cases_and_classes_for_themselves() -> None:
    assert lengths("dog", "DoG") == [3]
    assert lengths("[d]og", "DOG") == []
    assert lengths("k s i", "\u212a\u017f\u0130") == [3]
    assert lengths("é", "É") == [1]


def test_names() -> None:
    automaton = Automaton(["{word} ({gap} {word})*"], {"word": "a | b b", "gap": frozenset("-+")})
    assert automaton.ends("a-bb+a") == [1, 4, 6]
    with pytest.raises(EspretError, match="no such expression"):
        Automaton(["{wrod}"], {"word": "a"})


@pytest.mark.parametrize("expression", ["(a", "a)", "a | )"])
def test_unreadable_expressions(expression: str) -> None:
    with pytest.raises(EspretError, match="tokenizer rule"):
        Automaton([expression], {})


@pytest.mark.parametrize(
    "expression",
    [
        "a*b",
        "a+ b?",
        "(a | b b)* a",
        "(a | a b){1,3} b",
        "a{0,2} (b | )",
        "[^a]? a",
        r"\( a \)",
        "(a? b?){2,3}",
        "[ab]{2,2} | b+ (a b)*",
        r"[\]a] [^\n]",
    ],
)
def test_the_language_is_that_of_re(expression: str) -> None:
    pattern = re.compile(expression, re.VERBOSE)
    automaton = Automaton([expression], {})
    for size in range(6):
        for chars in itertools.product("ab()]", repeat=size):
            text = "".join(chars)
            expected = [end for end in range(1, size + 1) if pattern.fullmatch(text, 0, end)]
            assert automaton.ends(text) == expected, text
