"""The Snowball English stemmer (Porter2) in the release that METEOR 1.5 carries; nothing of later releases.

Source: M. F. Porter, "The English (Porter2) stemming algorithm", snowballstem.org, as of 2010. Words that later
releases treat specially (`past`, `evening`) are stemmed as any other here, and special prefixes are three.
"""

from __future__ import annotations

import re

SPECIAL = {
    **{word: word for word in ("andes", "atlas", "bias", "cosmos", "howe", "news", "sky")},
    **{"dying": "die", "lying": "lie", "tying": "tie", "skis": "ski", "skies": "sky"},
    **{"early": "earli", "gently": "gentl", "idly": "idl", "only": "onli", "singly": "singl", "ugly": "ugli"},
}
FINISHED = {"succeed", "proceed", "exceed", "canning", "inning", "earring", "herring", "outing"}  # after step 1a
REGION = re.compile("[^aeiouy]*[aeiouy]+[^aeiouy]")  # up to the first consonant after a vowel; `Y` is a consonant
PREFIX = re.compile("arsen|commun|gener")
VOWEL = re.compile("[aeiouy]")
SHORT = re.compile("(?:[^aeiouy][aeiouy][^aeiouywxY]|^[aeiouy][^aeiouy])$", re.DOTALL)
CONSONANT_Y = re.compile("([aeiouy])y")
VALID_LI = "cdeghkmnrt"

STEP_2 = {
    **dict.fromkeys(("ization", "izer"), "ize"),
    **dict.fromkeys(("ational", "ation", "ator"), "ate"),
    **dict.fromkeys(("alism", "aliti", "alli"), "al"),
    **dict.fromkeys(("ousness", "ousli"), "ous"),
    **dict.fromkeys(("iveness", "iviti"), "ive"),
    **dict.fromkeys(("fulness", "fulli"), "ful"),
    **dict.fromkeys(("biliti", "bli"), "ble"),
    **{"tional": "tion", "enci": "ence", "anci": "ance", "abli": "able", "entli": "ent", "lessli": "less"},
    **{"ogi": "og", "li": ""},  # after some letters only
}
STEP_3 = {
    **{"ational": "ate", "tional": "tion", "alize": "al", "icate": "ic", "iciti": "ic", "ical": "ic"},
    **{"ful": "", "ness": "", "ative": ""},  # the last in the second region only
}
STEP_4 = (
    *("ement", "ance", "ence", "able", "ible", "ment", "ate", "ive", "ize", "iti", "ism", "ion", "ous", "ant", "ent"),
    *("ic", "al", "er"),
)
SUFFIXES = {
    name: re.compile(f"(?:{'|'.join(sorted(suffixes, key=len, reverse=True))})$")
    for name, suffixes in (("2", STEP_2), ("3", STEP_3), ("4", STEP_4))
}
STEP_1B = re.compile("(?:ing|eed|ed)(?:ly)?$")


def stem(word: str) -> str:
    """The stem of a lower-case word."""
    if word in SPECIAL:
        return SPECIAL[word]
    if len(word) < 3:
        return word
    word = word.removeprefix("'")
    word = CONSONANT_Y.sub(r"\1Y", "Y" + word[1:] if word[:1] == "y" else word)
    first, second = _regions(word)
    word = _step_1a(word)
    if word not in FINISHED:
        word = _step_1c(_step_1b(word, first))
        word = _step_5(_step_4(_step_3(_step_2(word, first), first, second), second), first, second)
    return word.replace("Y", "y")


def _regions(word: str) -> tuple[int, int]:
    """Where Porter's regions R1 and R2 begin."""
    start = PREFIX.match(word) or REGION.match(word)
    if start is None:
        return len(word), len(word)
    again = REGION.match(word, start.end())
    return start.end(), again.end() if again else len(word)


def _step_1a(word: str) -> str:
    for suffix in ("'s'", "'s", "'"):
        if word.endswith(suffix):
            word = word[: -len(suffix)]
            break
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and VOWEL.search(word, 0, len(word) - 2):
        return word[:-1]
    return word


def _step_1b(word: str, first: int) -> str:
    found = STEP_1B.search(word)
    if found is None:
        return word
    begin = found.start()
    if found.group().startswith("eed"):
        return word[: begin + 2] if begin >= first else word
    if not VOWEL.search(word, 0, begin):
        return word
    word = word[:begin]
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if len(word) > 1 and word[-1] == word[-2] and word[-1] in "bdfgmnprt":
        return word[:-1]
    return word + "e" if len(word) == first and SHORT.search(word) else word


def _step_1c(word: str) -> str:
    return word[:-1] + "i" if len(word) > 2 and word[-1] in "yY" and word[-2] not in "aeiouy" else word


def _step_2(word: str, first: int) -> str:
    found = SUFFIXES["2"].search(word)
    if found is None or (begin := found.start()) < first:
        return word
    suffix = found.group()
    if (suffix == "ogi" and word[:begin][-1:] != "l") or (suffix == "li" and word[:begin][-1:] not in set(VALID_LI)):
        return word
    return word[:begin] + STEP_2[suffix]


def _step_3(word: str, first: int, second: int) -> str:
    found = SUFFIXES["3"].search(word)
    if found is None or (begin := found.start()) < first or (found.group() == "ative" and begin < second):
        return word
    return word[:begin] + STEP_3[found.group()]


def _step_4(word: str, second: int) -> str:
    found = SUFFIXES["4"].search(word)
    if found is None or (begin := found.start()) < second:
        return word
    return word if found.group() == "ion" and word[:begin][-1:] not in {"s", "t"} else word[:begin]


def _step_5(word: str, first: int, second: int) -> str:
    last = len(word) - 1
    if word.endswith("e") and (last >= second or (last >= first and not SHORT.search(word[:-1]))):
        return word[:-1]
    return word[:-1] if word.endswith("ll") and last >= second else word
