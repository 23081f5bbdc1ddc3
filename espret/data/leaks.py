"""Overlap between data directories: the same clip, sound of the same origin, the same caption.

Clips are compared by id, by where their sound comes from (utt2origin: YouTube ids, Freesound ids) and by normalised
caption; no audio is opened. Training clips in a test set make its numbers worthless, so they are refused unless the
recipe declares them (`load_declared`, `undeclared`). Captions that occur twice are only counted: people say "a dog
barks" of many dogs.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from espret.data.datadir import DataDir
from espret.errors import EspretError, nearest
from espret.files import final_path
from espret.text.normalise import normalise
from espret.yaml_file import load_yaml

ID, CAPTION = "id", "caption"
NAMES = {ID: "ids", CAPTION: "captions", "youtube": "YouTube ids", "freesound": "Freesound ids"}
EXAMPLES = 3


class Keys(NamedTuple):
    """What a directory is compared by, one row each: the key, and the clip or (for captions) the caption it is of."""

    keys: list[str]
    items: list[str]


class Side:
    """One data directory of a comparison.

    `keys` has a table for each kind that is known of it: "id", the kinds of utt2origin, "caption". `clips` and
    `captions` count all; `ambiguous` counts the captions that are said of two clips or more, for which a search cannot
    tell the right clip, and `sentences` the different ones among them.
    """

    def __init__(self, path: str | os.PathLike[str], directory: DataDir) -> None:
        self.path = os.fspath(path)
        self.name = final_path(path).name
        self.variant = str(directory.about.get("variant", ""))
        utts = directory.utts
        self.clips, self.captions = len(utts), len(directory.text)
        self.keys: dict[str, Keys] = {ID: Keys(utts, utts), **_origins(self.path, directory)}
        self._add_captions(directory)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Side:
        """Read a data directory. Raises EspretError naming file and line."""
        return cls(path, DataDir.load(path))

    def _add_captions(self, directory: DataDir) -> None:
        captions = Keys([sentence(text) for text in directory.text.values()], list(directory.text))
        first: dict[str, str] = {}
        several = set()
        for key, caption in zip(*captions):
            clip = directory.cap2utt.get(caption, caption)
            if first.setdefault(key, clip) != clip:
                several.add(key)
        self.sentences, self.ambiguous = len(several), sum(key in several for key in captions.keys)
        if self.captions:
            self.keys[CAPTION] = captions

    def origins(self) -> list[str]:
        """The kinds of origin that are known of its clips."""
        return [kind for kind in self.keys if kind not in (ID, CAPTION)]

    def known(self, kind: str) -> int:
        """How many clips have an origin of this kind."""
        return len(set(self.keys[kind].items)) if kind in self.keys else 0

    def total(self, kind: str) -> int:
        """The number of captions for the kind "caption", else of clips."""
        return self.captions if kind == CAPTION else self.clips


def _origins(path: str, directory: DataDir) -> dict[str, Keys]:
    found: dict[str, Keys] = {}
    for utt, origins in directory.utt2origin.items():
        for origin in origins:
            kind, _, key = origin.partition(":")
            if not kind or not key or kind in (ID, CAPTION):
                expected = "expected youtube:<id>, freesound:<id> or the like"
                raise EspretError(f"{Path(path, 'utt2origin')}: '{utt}' comes from {origin!r}; {expected}")
            table = found.setdefault(kind, Keys([], []))
            table.keys.append(key)
            table.items.append(utt)
    return dict(sorted(found.items(), key=lambda item: (item[0] not in NAMES, item[0])))


def sentence(caption: str) -> str:
    """What captions are compared by: without case, punctuation and white space; the typographic apostrophe is one."""
    return normalise(caption.replace("\u2019", "'"))


@dataclass(frozen=True)
class Overlap:
    """What two data directories, of which the second may be a test set, share of one kind.

    `shared` counts different keys (ids, videos, sentences); `in_train` and `in_test` the clips (for captions: the
    captions) that have them, out of `of_train` and `of_test`.
    """

    train: str
    test: str
    kind: str
    shared: int
    in_train: int
    of_train: int
    in_test: int
    of_test: int
    examples: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For results: the fields, by name."""
        return {**dataclasses.asdict(self), "examples": list(self.examples)}


def overlaps(train: Side, test: Side) -> list[Overlap]:
    """What two directories share: one item a kind that they share anything of, captions last."""
    found = []
    for kind in sorted(train.keys.keys() & test.keys.keys(), key=lambda kind: (kind == CAPTION, kind != ID, kind)):
        ours, theirs = train.keys[kind], test.keys[kind]
        shared = set(theirs.keys).intersection(ours.keys)
        if shared:
            counts = (_touched(ours, shared), train.total(kind), _touched(theirs, shared), test.total(kind))
            examples = tuple(sorted(shared)[:EXAMPLES])
            found.append(Overlap(train.name, test.name, kind, len(shared), *counts, examples))
    return found


def _touched(table: Keys, shared: set[str]) -> int:
    return len({item for key, item in zip(*table) if key in shared})


@dataclass(frozen=True)
class Declared:
    """An overlap that a recipe declares: at most so many shared keys of a kind, and why. `train` and `test` are names
    of data directories or patterns; with a `variant`, that of the training directory has to match it."""

    train: str
    test: str
    kind: str
    at_most: int
    reason: str
    variant: str = "*"

    def covers(self, overlap: Overlap, variant: str) -> bool:
        """Whether it speaks of this overlap, were it not for the number."""
        pairs = ((overlap.train, self.train), (overlap.test, self.test), (variant, self.variant))
        return overlap.kind == self.kind and all(fnmatchcase(name, pattern) for name, pattern in pairs)


def load_declared(path: str | Path) -> list[Declared]:
    """The declarations in a recipe's conf/leaks.yaml, a list under `overlaps`. Raises EspretError naming the item."""
    config = load_yaml(path)
    items = config.get("overlaps")
    if list(config) != ["overlaps"] or not isinstance(items, list):
        raise EspretError(f"{path}: found {', '.join(map(str, config)) or 'nothing'}; expected a list 'overlaps'")
    return [_declared(f"{path}: overlaps[{number}]", item) for number, item in enumerate(items, 1)]


def _declared(where: str, item: object) -> Declared:
    fields = {field.name: field for field in dataclasses.fields(Declared)}
    if not isinstance(item, dict):
        raise EspretError(f"{where}: {item!r:.80}; expected a mapping of {', '.join(fields)}")
    for name in item:
        if name not in fields:
            raise EspretError(f"{where}: unknown key {name!r}{nearest(str(name), fields)}")
    for name in fields:
        if name not in item and name != "variant":
            raise EspretError(f"{where}: no '{name}'; expected {', '.join(fields)} (variant may be left out)")
    for name, value in item.items():
        right = type(value) is int and value > 0 if name == "at_most" else isinstance(value, str) and value.strip()
        if not right:
            expected = "a number of shared keys" if name == "at_most" else "text"
            raise EspretError(f"{where}: {name} is {value!r:.80}; expected {expected}")
    if item["kind"] == CAPTION:
        raise EspretError(f"{where}: kind caption; shared captions are reported and never refused: leave it out")
    return Declared(**item)


def reason(overlap: Overlap, variant: str, declared: Iterable[Declared]) -> str | None:
    """Why an overlap is accepted, as a declaration that it does not exceed says; None where there is none."""
    fitting = (item for item in declared if item.covers(overlap, variant) and overlap.shared <= item.at_most)
    return next((item.reason for item in fitting), None)


def undeclared(found: Sequence[tuple[Side, Side, Overlap]], declared: Sequence[Declared], path: str | Path) -> str:
    """The message that refuses overlaps: what is shared and the two ways out; empty where all is declared in `path`.

    `found` has each overlap with its training and test side.
    """
    lines, mends = [], []
    for train, test, overlap in found:
        if overlap.kind == CAPTION or reason(overlap, train.variant, declared) is not None:
            continue
        limit = max((item.at_most for item in declared if item.covers(overlap, train.variant)), default=0)
        more = f"; {path} declares at most {limit}" if limit else ""
        lines.append(
            f"training data in a test or validation set: {train.path} and {test.path} share {described(overlap)}: "
            f"{overlap.in_train} of {overlap.of_train} training clips, {overlap.in_test} of {overlap.of_test} clips "
            f"of the other{more}"
        )
        mends.append(
            f"  - {{train: {overlap.train}, test: {overlap.test}, kind: {overlap.kind}, at_most: {overlap.shared}, "
            'reason: "..."}'
        )
    if not lines:
        return ""
    ways = (
        "mend: train on a variant without these clips (a split by video, WavCaps with its blacklist); or, where a "
        f"published protocol has it so, declare it, with the reason that results will show, in {path}:"
    )
    return "\n".join([*lines, ways, "  overlaps:", *mends])


def described(overlap: Overlap) -> str:
    """ "737 YouTube ids (a, b, c, ...)"."""
    more = ", ..." if overlap.shared > len(overlap.examples) else ""
    return f"{overlap.shared} {kind_name(overlap.kind)} ({', '.join(overlap.examples)}{more})"


def kind_name(kind: str) -> str:
    """A kind of key in words, plural."""
    return NAMES.get(kind, f"{kind} ids")
