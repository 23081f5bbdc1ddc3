"""What a matched token becomes in CoreNLP's PTBTokenizer: the Penn Treebank's spelling of quotes, brackets, money.

One function a kind of token, from its text to the token before lower-casing; "" is no token.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# &apos; and &quot; count in this spelling only. Straight marks open or close by what follows, others by themselves.
SINGLE = re.compile("&apos;|'")
DOUBLE = re.compile('&quot;|"')
CURLY = str.maketrans(
    {
        **dict.fromkeys("\x91\u2018\u201b\u2039", "`"),
        **dict.fromkeys("\x92\u2019\u203a", "'"),
        **dict.fromkeys("\x93\u201c\xab", "``"),
        **dict.fromkeys("\x94\u201d\xbb", "''"),
    }
)
# The Treebank has cents, pounds and dollars only; euros and the general sign become dollars.
MONEY = str.maketrans({"\xa2": "cents", "\xa3": "#", **dict.fromkeys("\x80\xa4\u20a0\u20ac", "$")})
FRACTIONS = str.maketrans({"\xbc": "1/4", "\xbd": "1/2", "\xbe": "3/4", "\u2153": "1/3", "\u2154": "2/3"})
BRACKETS = str.maketrans({"(": "-LRB-", ")": "-RRB-"})
AMPERSAND = re.compile("&amp;", re.IGNORECASE)


def same(text: str) -> str:
    """As it stands."""
    return text


def nothing(text: str) -> str:
    """No token: blanks, and characters that the tokenizer does not know."""
    return ""


def always(token: str) -> Callable[[str], str]:
    """This token, whatever the text."""
    return lambda text: token


def unhyphenated(text: str) -> str:
    """Without soft hyphens; a lone one is a hyphen."""
    return text.replace("\xad", "") or "-"


def joined(text: str) -> str:
    """Blanks inside become U+00A0, so that it stays one token."""
    return text.replace(" ", "\xa0")


def named_brackets(text: str) -> str:
    """Round brackets by their names."""
    return text.translate(BRACKETS)


def phone(text: str) -> str:
    """A telephone number: one token, round brackets by their names."""
    return named_brackets(joined(text))


def plain_ampersand(text: str) -> str:
    """&amp; as the character."""
    return AMPERSAND.sub("&", text)


def opening(text: str) -> str:
    """A quotation mark before a word."""
    return DOUBLE.sub("``", SINGLE.sub("`", text)).translate(CURLY)


def closing(text: str) -> str:
    """A quotation mark elsewhere, or an apostrophe."""
    return DOUBLE.sub("''", SINGLE.sub("'", text)).translate(CURLY)


def dashes(text: str) -> str:
    """Three or four hyphens are a dash, other numbers stay."""
    return "--" if len(text) in (3, 4) else text


def money(text: str) -> str:
    """A sign of a currency."""
    return text.translate(MONEY)


def fraction(text: str) -> str:
    """A fraction in one character: the common ones written out."""
    return text.translate(FRACTIONS)
