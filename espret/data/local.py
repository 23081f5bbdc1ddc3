"""A recipe's local/data.py: the corpora that it prepares, and which of them has which split.

The file defines `CORPORA`, a list of espret.data.corpus.Corpus, or, for a corpus of one's own, a function `clips()`
that yields (split, clip id, audio path, captions); it may then define EXPECTED, the number of clips of each split, and
NO_CAPTIONS, the splits that have none.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.errors import EspretError, nearest


class FromClips(Corpus):
    """The corpus of a file with a function `clips()`. It has every split that it is asked for."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self.module, self.name = module, name
        self.counts = dict(getattr(module, "EXPECTED", {}))
        self.without_captions = frozenset(getattr(module, "NO_CAPTIONS", ()))

    @property
    def where(self) -> str:
        return str(self.module.__file__)

    def parse(self, split: str, variant: str) -> tuple[str, Variant]:
        return split, (variant,) if variant else ()

    def fetch(self, asked: Asked) -> None:
        """Nothing: `clips()` brings what it needs."""
        given = {
            "--archives": asked.archives,
            "--audio-dir": asked.audio_dir,
            "--sources": asked.sources,
            "--variant": asked.variant,
        }
        for option, value in given.items():
            if value:
                raise EspretError(f"{option} {value}: {self.where} defines clips(), which takes none", status=2)

    def clips(self, asked: Asked) -> Iterator[Clip]:
        for number, item in enumerate(self.module.clips(), 1):
            if not isinstance(item, (tuple, list)) or len(item) != 4:
                found = f"{self.where}: item {number} of clips(): {item!r:.100}"
                raise EspretError(f"{found}; expected (split, clip id, audio path, captions)")
            yield Clip(*item)

    def expected(self, split: str, variant: Variant) -> int | None:
        return self.counts.get(split)


def load_module(function: str | os.PathLike[str]) -> ModuleType:
    """The Python file `function` as a module, under a name of its own. Raises EspretError without corpora in it."""
    path = Path(function)
    if not path.is_file():
        raise EspretError(f"{path}: no such file; expected a Python file that defines clips() or CORPORA")
    spec = importlib.util.spec_from_file_location("espret_recipe_local_data", path)
    if spec is None or spec.loader is None:
        raise EspretError(f"{path}: expected a Python file, named *.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    if not callable(getattr(module, "clips", None)) and not hasattr(module, "CORPORA"):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise EspretError(f"{path}: defines no function 'clips'{nearest('clips', known)}")
    return module


def corpora(function: str | os.PathLike[str], name: str) -> list[Corpus]:
    """The corpora of a recipe's local/data.py, the main one first; `name` is for one that only has `clips()`."""
    module = load_module(function)
    listed = getattr(module, "CORPORA", None)
    if listed is None:
        return [FromClips(module, name)]
    if not listed or not all(isinstance(corpus, Corpus) for corpus in listed):
        raise EspretError(f"{function}: CORPORA is {listed!r:.100}; expected a list of espret.data.corpus.Corpus")
    return list(listed)


def shares(listed: list[Corpus], asked: Asked) -> list[tuple[Corpus, Asked]]:
    """What each corpus is asked for. Raises EspretError for a split that none has, and for an unknown variant."""
    pairs = []
    for number, corpus in enumerate(listed):
        part = asked.of(corpus, main=number == 0)
        if number == 0:
            corpus.parse(next(iter(part.splits), corpus.splits[0]), part.variant)
        if part.splits:
            pairs.append((corpus, part))
    taken = {split for _, part in pairs for split in part.splits}
    for split in asked.splits:
        if split not in taken:
            _refuse(listed, split)
    if asked.youtube and not any(corpus.on_youtube for corpus, _ in pairs):
        names = ", ".join(corpus.name for corpus, _ in pairs)
        raise EspretError(f"--youtube true: the sound of {names} does not lie on YouTube; leave it out", status=2)
    return pairs


def _refuse(listed: list[Corpus], split: str) -> NoReturn:
    """Raise EspretError for a split that no corpus has: what is wrong with its variant, or which splits there are."""
    for corpus in listed:
        if split.startswith(tuple(f"{base}_" for base in corpus.splits)):
            corpus.parse(split, "")
    known = "; ".join(_offer(corpus) for corpus in listed)
    raise EspretError(f"no corpus of this recipe has a split '{split}'; {known}")


def _offer(corpus: Corpus) -> str:
    """The splits and variants of a corpus for a message."""
    named = ", ".join(corpus.splits)
    return f"{corpus.name} has {named}" + (f", each also as SPLIT_VARIANT ({corpus.choices()})" if corpus.axes else "")
