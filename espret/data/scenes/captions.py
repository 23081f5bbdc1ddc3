"""What people would write about a scene: five captions from its events, their relation and their traits.

A caption is a sentence pattern of the scene's relation, filled with one phrase of each event's kind. A trait that
stands out (loud, quiet, high, low, fast, slow) is put into words now and then, as captioners do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.random import Generator

from espret.data.scenes.kinds import KINDS

CAPTIONS = 5  # a clip

# {A}, {B}: clauses ("a dog barks"); {a}, {b}: noun phrases ("a dog barking"); with how usual each pattern is.
PATTERNS: dict[str, tuple[tuple[str, float], ...]] = {
    "alone": (
        ("{A}", 4),
        ("{a}", 4),
        ("the sound of {a}", 1),
        ("{a} with quiet noise in the background", 1),
    ),
    "then": (
        ("{A} and then {B}", 3),
        ("{A} followed by {b}", 3),
        ("{a} followed by {b}", 3),
        ("{A}, then {B}", 1),
        ("{A} before {B}", 1),
        ("first {A} and then {B}", 1),
    ),
    "while": (
        ("{A} while {B}", 4),
        ("{A} with {b} in the background", 3),
        ("{a} while {B}", 2),
        ("{A} as {B}", 2),
        ("{a} and {b} at the same time", 1),
    ),
}
ADVERBS = {
    "loud": ("loudly", "very loudly"),
    "quiet": ("faintly", "in the distance"),
    "fast": ("quickly", "rapidly"),
    "slow": ("slowly",),
}
ADJECTIVES = {"high": "high pitched", "low": "low pitched"}
USUAL = (0.6, 0.25, 0.15)  # how often a captioner picks a kind's first, second, third phrase
MENTION = 0.3  # how often a captioner mentions a trait that stands out


class Described(Protocol):
    """What a caption needs to know of an event."""

    @property
    def kind(self) -> str: ...

    @property
    def traits(self) -> tuple[str, ...]: ...


def describe(rng: Generator, events: Sequence[Described], relation: str, number: int = CAPTIONS) -> list[str]:
    """`number` different captions of one or two `events` in `relation` ("alone", "then", "while").

    They begin with a capital and end with a full stop, as in Clotho.
    """
    captions: list[str] = []
    while len(captions) < number:
        caption = _caption(rng, events, relation)
        if caption not in captions:
            captions.append(caption)
    return captions


def _caption(rng: Generator, events: Sequence[Described], relation: str) -> str:
    patterns, weights = zip(*PATTERNS[relation])
    pattern = str(rng.choice(patterns, p=np.asarray(weights) / sum(weights)))
    fields: dict[str, str] = {}
    for letter, event in zip("AB", events):
        clause, noun = _phrase(rng, event)
        fields |= {letter: clause, letter.lower(): noun}
    text = pattern.format(**fields)
    return text[0].upper() + text[1:] + "."


def _phrase(rng: Generator, event: Described) -> tuple[str, str]:
    """An event as a clause and as a noun phrase: ("a dog barks loudly", "a dog barking loudly")."""
    phrases = KINDS[event.kind].phrases
    phrase = phrases[int(rng.choice(len(phrases), p=USUAL))]
    subject, adverb = phrase.subject, ""
    for trait in event.traits:
        if rng.random() >= MENTION:
            continue
        if trait in ADJECTIVES:
            subject = qualify(subject, ADJECTIVES[trait])
        elif not adverb:
            adverb = " " + str(rng.choice(ADVERBS[trait]))
    return f"{subject} {phrase.verb}{adverb}", f"{subject} {phrase.participle}{adverb}"


def qualify(subject: str, adjective: str) -> str:
    """`subject` with an adjective after its article: ("an alarm", "high pitched") -> "a high pitched alarm"."""
    article, _, noun = subject.partition(" ")
    if article not in ("a", "an", "the"):
        return f"{adjective} {subject}"
    if article != "the":
        article = "an" if adjective[0] in "aeiou" else "a"
    return f"{article} {adjective} {noun}"
