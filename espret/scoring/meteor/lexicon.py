"""Words as METEOR 1.5 sees them in English captions: its normalisation, and what it knows of each word.

The word lists come out of METEOR's jar. Phrases are in espret.scoring.meteor.paraphrases, the stemmer in
espret.scoring.meteor.stemmer.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from espret.files import write_text
from espret.scoring.meteor.stemmer import stem

SYNSETS = "synonym/english.synsets"
Key = TypeVar("Key", int, str)
PLAIN = re.compile("[a-z0-9 ]*")  # what normalisation leaves as it is
KNOWN = re.compile("[ -~¡-ž‐-‟]*")  # letters and marks that Java and Python treat alike
LETTERS = "A-Za-zŠŽšžŸÀ-ÖØ-öø-ž"  # those of METEOR's letters that are known
# Pattern and replacement, one after another, each over the whole caption; `@` stands for the letters.
RULES = tuple(
    (re.compile(pattern.replace("@", LETTERS)), replacement)
    for pattern, replacement in (
        (r"([^0-9@ .'`,\-‘’])", r" \1 "),
        (r"([^0-9]),([^0-9])", r"\1 , \2"),
        (r"([0-9]),([^0-9])", r"\1 , \2"),
        (r"([^0-9]),([0-9])", r"\1 , \2"),
        (r"[`‘’]", "'"),
        (r"[“”]|''", ' " '),
        (r"–", "-"),
        (r"--", "-"),
        (r"([0-9@.])-([0-9@])", r"\1 \2"),
        (r"([^@])'([^@])", r"\1 ' \2"),
        (r"([^@0-9])'([@])", r"\1 ' \2"),
        (r"([@])'([^@])", r"\1 ' \2"),
        (r"([@])'([@])", r"\1 '\2"),
        (r"([0-9])'(s)", r"\1 '\2"),
    )
)
ABBREVIATIONS = {"v", "vs", "i.e", "rev", "e.g"}  # keep their dot; `pp` does before a number
# WordNet's rules for base forms: ending, what replaces it.
ENDINGS = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man")),
    *(("ies", "y"), ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e")),
    *(("ing", ""), ("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
)


def normalised(caption: str) -> list[str] | None:
    """The words of a caption under METEOR's `-norm` for English; None if only Java knows (capitals, several dots in a
    row, marks or letters that are not of Western Europe)."""
    if PLAIN.fullmatch(caption):
        return caption.split()
    if not KNOWN.fullmatch(caption) or ".." in caption or caption != caption.lower():
        return None
    text = f" {caption} "
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    words = text.split()
    return " ".join(_undotted(word, words[place + 1 : place + 2]) for place, word in enumerate(words)).split()


def _undotted(word: str, following: list[str]) -> str:
    """The word without the dots of an acronym, or with a dot that ends a sentence set apart."""
    base = word[:-1]
    if not base or word[-1] != ".":
        return word
    if "." in base and re.search(f"[{LETTERS}]", base):
        return word.replace(".", "")
    ends = not following or not re.match("[a-z]", following[0])
    numbered = base == "pp" and bool(following) and re.match("[0-9]", following[0]) is not None
    return f"{base} ." if ends and base not in ABBREVIATIONS and not numbered else word


def java_hash(text: str) -> int:
    """Java's String.hashCode of a text without surrogates. METEOR takes words with equal hashes for equal."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value


class Lexicon:
    """METEOR's English word lists. `folder` is where the largest is kept in a form that loads fast."""

    def __init__(self, jar: Path, folder: Path) -> None:
        with zipfile.ZipFile(jar) as archive:
            self.function = frozenset(_lines(archive, "function/english.words"))
            exceptions = _lines(archive, "synonym/english.exceptions")
            self._bases: dict[str, list[str]] = {}
            for base, forms in zip(exceptions[::2], exceptions[1::2]):
                for form in forms.split():
                    self._bases.setdefault(form, []).append(base)
            kept = folder / f"synsets-{archive.getinfo(SYNSETS).CRC:08x}-v1.txt"
            try:
                synsets = kept.read_text(encoding="utf-8").split("\n")
            except OSError:
                synsets = self._single_words(_lines(archive, SYNSETS))
                with contextlib.suppress(OSError):  # a read-only folder
                    write_text(kept, "\n".join(synsets))
        self._synsets = dict(zip(synsets[::2], synsets[1::2]))

    def _single_words(self, synsets: list[str]) -> list[str]:
        """Without the words made of several, joined by `_`, which normalised captions do not have."""
        bases = {base for several in self._bases.values() for base in several}
        pairs = zip(synsets[::2], synsets[1::2])
        return [line for pair in pairs if len(pair[0]) == 1 or "_" not in pair[0] or pair[0] in bases for line in pair]

    def synsets(self, word: str) -> set[str]:
        """WordNet's sets of synonyms with the word or a base form of it."""
        bases = self._bases[word] if word in self._bases else [self._base(word)]
        return {number for one in (word, *bases) for number in self._synsets.get(one, "").split()}

    def _base(self, word: str) -> str:
        if word.endswith("ss") or len(word) < 3:
            return word
        for ending, replacement in ENDINGS:
            if word.endswith(ending) and (base := word[: -len(ending)] + replacement) in self._synsets:
                return base
        return ""

    def relatives(self, keys: Mapping[str, int], others: Iterable[str]) -> dict[str, dict[str, tuple[int, ...]]]:
        """For each word of `keys` (its `java_hash`, as of all `others`) those of `others` that match it, with the
        modules by which they do: 0 exact, or 1 stem and 2 synonym."""
        stems = {word: java_hash(stem(word)) for word in keys}
        synsets = {word: self.synsets(word) for word in keys}
        distinct = set(others)
        by_key = _groups((keys[word], word) for word in distinct)
        by_stem = _groups((stems[word], word) for word in distinct)
        by_synset = _groups((number, word) for word in distinct for number in synsets[word])
        found: dict[str, dict[str, tuple[int, ...]]] = {}
        for word, key in keys.items():
            related: dict[str, tuple[int, ...]] = dict.fromkeys(by_stem.get(stems[word], ()), (1,))
            for other in {other for number in synsets[word] for other in by_synset.get(number, ())}:
                related[other] = (1, 2) if other in related else (2,)
            related.update(dict.fromkeys(by_key.get(key, ()), (0,)))
            found[word] = related
        return found


def _lines(archive: zipfile.ZipFile, name: str) -> list[str]:
    return archive.read(name).decode("utf-8").split("\n")


def _groups(pairs: Iterable[tuple[Key, str]]) -> dict[Key, list[str]]:
    groups: dict[Key, list[str]] = {}
    for key, word in pairs:
        groups.setdefault(key, []).append(word)
    return groups
