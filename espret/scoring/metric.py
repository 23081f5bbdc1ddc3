"""What a caption metric is: its input (tokenised captions), its result, and how it says that it cannot be computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from espret.errors import EspretError


@dataclass(frozen=True)
class Tokenised:
    """Captions after PTB tokenisation: lower case, punctuation removed, single blanks between tokens.

    `ids[i]` is the clip, `hyps[i]` its candidate and `refs[i]` its references, at least one, in the order of the corpus
    (SPICE depends on that order).
    """

    ids: list[str]
    hyps: list[str]
    refs: list[list[str]]


@dataclass(frozen=True)
class Result:
    """Values of one metric module by metric name: one of the whole set, and one an item in the order of the ids."""

    corpus: dict[str, float]
    items: dict[str, list[float]]


class Unavailable(EspretError):
    """A metric cannot be computed on this machine; the message says why and which command mends it."""


class Metric(Protocol):
    """A caption metric: the names of its values and the function that computes them."""

    names: tuple[str, ...]

    def score(self, captions: Tokenised) -> Result:
        """The metric of these captions. Raises Unavailable when what it needs is not installed."""
        ...


def mean(values: list[float]) -> float:
    """Arithmetic mean, summed in order as the reference implementations do up to rounding."""
    return sum(values) / len(values)
