"""What a caption metric is: its input (captions, settings), its result, and how it says that it cannot be computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from espret.errors import EspretError


@dataclass(frozen=True)
class Captions:
    """The captions of a set, PTB-tokenised (lower case, punctuation removed, single blanks between tokens) and raw.

    `ids[i]` is the clip, `hyps[i]` its candidate and `refs[i]` its references, at least one, in the order of the corpus
    (SPICE depends on that order). `raw_hyps` and `raw_refs` are the same captions as they were given.
    """

    ids: list[str]
    hyps: list[str]
    refs: list[list[str]]
    raw_hyps: list[str]
    raw_refs: list[list[str]]


@dataclass(frozen=True)
class Settings:
    """What metrics may need beside captions: the Sentence-BERT model (folder or hub name) and the fluency error
    detector (file), each None for the installed one, the torch device that they run on, and the threads that parse for
    SPICE (None: the cores that this process may use)."""

    sbert: str | None = None
    fluency: str | None = None
    device: str = "cpu"
    threads: int | None = None


@dataclass(frozen=True)
class Result:
    """Values of one metric module by metric name: one of the whole set, and one an item in the order of the ids.

    `statistics[module]` is one row of numbers an item whose sums over the items give the set's value, for metrics whose
    value of a set is not the mean of the items.
    """

    corpus: dict[str, float]
    items: dict[str, list[float]]
    statistics: dict[str, list[list[float]]] = field(default_factory=dict)


class Unavailable(EspretError):
    """A metric cannot be computed on this machine; the message says why and which command mends it."""


class Metric(ABC):
    """A caption metric: the names of its values and the function that computes them."""

    names: tuple[str, ...]

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    @abstractmethod
    def score(self, captions: Captions) -> Result:
        """The metric of these captions. Raises Unavailable when what it needs is not installed."""


def mean(values: list[float]) -> float:
    """Arithmetic mean, summed in order as the reference implementations do up to rounding."""
    return sum(values) / len(values)
