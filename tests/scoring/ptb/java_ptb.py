"""The Java tokenizer that espret.scoring.ptb follows, as the tests' oracle: PTBTokenizer of CoreNLP 3.4.1 by JPype."""

from __future__ import annotations

from espret.scoring.java import coco_tools, errors_of, start
from espret.scoring.ptb.tokenizer import PUNCTUATION, clean

# A line that decides nothing about the end of the one before.
BETWEEN = "zq"


def tokenise(captions: list[str]) -> list[str]:
    """What `tokenise` should make of the captions; each a line of its own, as is defined there."""
    if not captions:
        return []
    lines = java_lines([line for caption in captions for line in (clean(caption), BETWEEN)])
    if len(lines) == 2 * len(captions) and set(lines[1::2]) == {BETWEEN}:
        return [without_punctuation(line) for line in lines[::2]]
    # Something in a caption, such as an open tag, runs on over the end of its line: one by one.
    if len(captions) == 1:
        return [without_punctuation(java_lines([clean(captions[0]), ""])[0])]
    half = len(captions) // 2
    return tokenise(captions[:half]) + tokenise(captions[half:])


def java_lines(captions: list[str]) -> list[str]:
    """The tokenizer's output for a file with these lines, `-preserveLines -lowerCase`, punctuation included."""
    jpype = start()
    string_writer = jpype.JClass("java.io.StringWriter")()
    writer = jpype.JClass("java.io.BufferedWriter")(string_writer)
    reader = jpype.JClass("java.io.StringReader")("\n".join(captions))
    with errors_of("PTBTokenizer", "tokenising captions"):
        # What the tool's main() calls for each file; private there.
        for method in coco_tools().reflect("edu.stanford.nlp.process.PTBTokenizer").getDeclaredMethods():
            if str(method.getName()) == "tokReader":
                method.setAccessible(True)
                method.invoke(None, reader, writer, None, "tokenizeNLs=true", True, False, True)
        writer.flush()
    lines = str(string_writer.toString()).split("\n")
    if len(lines) == len(captions) + 1 and not lines[-1]:
        lines.pop()  # the tool ends its last line
    return lines


def without_punctuation(line: str) -> str:
    """The words of a line of tokens, as the COCO caption tools keep them."""
    return " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION)
