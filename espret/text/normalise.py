"""Caption normalisation before tokenization. The metrics have their own (PTB) tokenization and do not use this one."""

from __future__ import annotations

import re

_NOT_WORD = re.compile(r"[^\w\s']")


def normalise(caption: str) -> str:
    """Lower case, punctuation (all but the apostrophe) as a blank, single blanks between words.

    The word-level convention of the Clotho systems: with it Clotho v2.1's training captions have 4366 word types and
    its validation and evaluation captions no unknown word.
    """
    return " ".join(_NOT_WORD.sub(" ", caption.lower()).split())
