"""The tokenisation under every caption metric: CoreNLP 3.4.1's PTBTokenizer in process, then the usual punctuation
list.

Parity notes: `-lowerCase` gives `-lrb-` while the list has `-LRB-`, so parentheses stay as tokens, as in the COCO
caption tools; and the tokenizer is not idempotent, so captions are tokenised once, from the raw text.
"""

from __future__ import annotations

import re

from espret.errors import EspretError
from espret.scoring.java import coco_tools, errors_of, start

# Dropped after tokenisation, compared with the lower-cased token as the COCO caption tools do.
PUNCTUATION = frozenset(["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", *".?!,:-;", "--", "..."])

# What would end a line for the tokenizer, or a field for METEOR.
BREAKS = re.compile(r"(?:[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]|\|\|\|)+")


def clean(caption: str) -> str:
    """The caption on one line: tabs, line breaks of any kind and `|||` become one blank each run of them."""
    return BREAKS.sub(" ", caption)


def tokenise(captions: list[str]) -> list[str]:
    """Tokenised captions, in order: lower case, without punctuation, joined by single blanks. An empty one stays empty.

    Raises Unavailable without Java. Follows `PTBTokenizer -preserveLines -lowerCase` and the COCO caption tools.
    """
    lines = _lines([clean(caption) for caption in captions])
    return [" ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION) for line in lines]


def _lines(captions: list[str]) -> list[str]:
    if not captions:
        return []
    jpype = start()
    tools = coco_tools()
    string_writer = jpype.JClass("java.io.StringWriter")()
    writer = jpype.JClass("java.io.BufferedWriter")(string_writer)
    reader = jpype.JClass("java.io.StringReader")("\n".join(captions))
    with errors_of("PTBTokenizer", "tokenising captions"):
        # What the tool's main() calls for each file; private there.
        for method in tools.reflect("edu.stanford.nlp.process.PTBTokenizer").getDeclaredMethods():
            if str(method.getName()) == "tokReader":
                method.setAccessible(True)
                method.invoke(None, reader, writer, None, "tokenizeNLs=true", True, False, True)
        writer.flush()
    lines = str(string_writer.toString()).split("\n")
    if len(lines) == len(captions) + 1 and not lines[-1]:
        lines.pop()  # the tool ends its last line
    if len(lines) != len(captions):
        raise EspretError(f"PTBTokenizer made {len(lines)} lines of {len(captions)} captions")
    return lines
