"""The tokenisation under every caption metric: what CoreNLP 3.4.1's `PTBTokenizer -preserveLines -lowerCase` makes of
captions, in Python, then the usual punctuation list.

The rules are in `rules`. tests/scoring/ptb/test_ptb.py compares with the Java class, which is no part of
scoring. Where the result is defined here, because Java's is another or none:

- A caption is a line of its own. Java sees the lines of a file as one text, so that the beginning of the next line
  decides about the end of one (`he says no.` keeps its full stop before a line that begins with a digit), and a tag may
  span lines.
- A lone surrogate, which Java's files cannot hold, is read as U+FFFD.
- A capital sigma beside digits or signs inside a token (`ΑΣ2`) may become the other small sigma: Java asks its rules of
  where words break.
- Inside web addresses, capital letters that the running Python's Unicode does not have yet stay as they are.

Parity notes: `-lowerCase` gives `-lrb-` while the list has `-LRB-`, so parentheses stay as tokens, as in the COCO
caption tools; and the tokenizer is not idempotent, so captions are tokenised once, from the raw text.
"""

from __future__ import annotations

import functools
import re

from espret.scoring.ptb.automaton import Automaton
from espret.scoring.ptb.rules import EXPRESSIONS, RULES, SPLIT_WORDS, names

# Dropped after tokenisation, compared with the lower-cased token as the COCO caption tools do.
PUNCTUATION = frozenset(["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", *".?!,:-;", "--", "..."])

# What would end a line for the tokenizer, or a field for METEOR.
BREAKS = re.compile(r"(?:[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]|\|\|\|)+")
SURROGATE = re.compile(r"[\ud800-\udfff]")
# Words with nothing but blanks, commas and the line's end between them: no rule sees more in them, but for SPLIT_WORDS.
PLAIN_WORD = rf"(?!(?:{'|'.join(SPLIT_WORDS)})\b)[a-z]+,?[ \n]+(?!{EXPRESSIONS['blank']})"
PLAIN_WORDS = re.compile(f"(?:{PLAIN_WORD})+", re.ASCII | re.IGNORECASE)
BEYOND_BMP = re.compile(r"[\U00010000-\U0010ffff]")


def clean(caption: str) -> str:
    """The caption on one line: tabs, line breaks of any kind and `|||` become one blank each run of them."""
    return BREAKS.sub(" ", caption)


def tokenise(captions: list[str]) -> list[str]:
    """Tokenised captions, in order: lower case, without punctuation, joined by single blanks. An empty one stays empty.

    Follows `PTBTokenizer -preserveLines -lowerCase` and the COCO caption tools.
    """
    return [_without_punctuation(_line(clean(caption))) for caption in captions]


def _without_punctuation(line: str) -> str:
    return " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION)


def _line(caption: str) -> str:
    """The tokens of a caption without line breaks, lower-cased, with punctuation, joined by blanks."""
    if caption.isascii():
        return " ".join(_tokens(caption)).lower()
    # Characters beyond the Basic Multilingual Plane are two for the tokenizer, which reads UTF-16.
    units = BEYOND_BMP.sub(_as_surrogates, SURROGATE.sub("\ufffd", caption))
    line = " ".join(_tokens(units))
    return line.encode("utf-16", "surrogatepass").decode("utf-16", "replace").lower()


def _as_surrogates(match: re.Match[str]) -> str:
    above = ord(match[0]) - 0x10000
    return chr(0xD800 + (above >> 10)) + chr(0xDC00 + (above & 0x3FF))


def _tokens(text: str) -> list[str]:
    """The tokens of one line, but for the full stop that Java repeats after an abbreviation that ends a sentence."""
    rules, longest = RULES, _lexer().longest
    text += "\n"  # what follows a caption decides about its last token
    found = []
    place, end_of_line = 0, len(text) - 1
    while place < end_of_line:
        if plain := PLAIN_WORDS.match(text, place):
            found += plain[0].replace(",", " ,").split()
            place = plain.end()
            continue
        end, number = longest(text, place)
        rule = rules[number]
        matched = text[place:end]
        if rule.before:
            matched = _before_context(number, matched)
        if token := rule.form(matched):
            found.append(token[: len(token) - rule.back])
        place += len(matched) - rule.back
    return found


@functools.cache
def _lexer() -> Automaton:
    return Automaton([f"({rule.token}) ({rule.before})" if rule.before else rule.token for rule in RULES], names())


@functools.cache
def _parts(rule: int) -> tuple[Automaton, Automaton]:
    return Automaton([RULES[rule].token], names()), Automaton([RULES[rule].before], names())


@functools.lru_cache(maxsize=10_000)
def _before_context(rule: int, matched: str) -> str:
    """The token of a match that includes what must follow: as much as leaves something that may follow."""
    token, context = _parts(rule)
    fitting = (end for end in reversed(token.ends(matched)) if len(matched) - end in context.ends(matched[end:]))
    return matched[: next(fitting)]
