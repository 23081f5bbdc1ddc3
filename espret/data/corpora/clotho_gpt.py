"""ClothoV2_GPT: five variations of each caption of Clotho's development split, by a GPT model that was told keywords.

From Primus et al., "Advancing Natural-Language Based Audio Retrieval with PaSST and Large Audio-Caption Data Sets"
(DCASE 2023). The file is a list of objects, of which these keys are read: `path` of the clip's file, `caption` that is
varied, `variations`, and `idx`, five times the clip's row plus the caption's number from 0. The rows are of a table
that the authors joined, so that idx is no key: file name and caption are. The variations were cut out of the model's
answers by rules that failed now and then: numbering is left on, some are empty, lists have other lengths than five.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from espret.data.tables import some
from espret.errors import EspretError
from espret.files import read_json

EACH = 5  # variations of a caption, as captions of a clip
NUMBERING = re.compile(r"^(\(?\d{1,2}[.):](?!\d)\s*|[-*•]\s+)")

Say = Callable[[str], None]


class Entry(NamedTuple):
    """What an object of the file tells: the clip's file, the caption, its number from 0 where it is known."""

    name: str
    caption: str
    number: int | None
    variations: list[str]


def read_variations(path: str | os.PathLike[str], clips: Mapping[str, Sequence[str]], say: Say) -> dict[str, list[str]]:
    """The variations of each clip, in the order of its captions; a clip that has none is left out.

    `clips` are the captions of each file name. `say` is told what was mended and what is missing. Raises EspretError
    for what is not such a file, and for variations of captions that no clip has.
    """
    places = {(name, _plain(text)): (name, k) for name, texts in clips.items() for k, text in enumerate(texts)}
    found: dict[tuple[str, int], list[str]] = {}
    strangers, notes = [], Counter[str]()
    for index, entry in enumerate(_entries(path)):
        place = places.get((entry.name, entry.caption))
        if place is None:
            strangers.append(f"entry {index} {entry.name!r} {entry.caption[:40]!r}")
        elif place in found:
            notes["entries come again and are left out"] += 1
        else:
            found[place] = clean(entry.variations, notes)
            notes["captions have another number there than in the corpus"] += entry.number not in (None, place[1])
    if strangers:
        raise EspretError(
            f"{path}: variations of captions that the corpus does not have: {some(strangers)}; "
            "expected file names and captions of Clotho v2.1's development split"
        )
    notes["captions have no entry"] = len(places) - len(found)
    for what in sorted(what for what, count in notes.items() if count):
        say(f"{path}: {notes[what]} {what}")
    by_clip: dict[str, list[str]] = {}
    for (name, _), variations in sorted(found.items()):
        by_clip.setdefault(name, []).extend(variations)
    return by_clip


def clean(variations: Iterable[str], notes: Counter[str]) -> list[str]:
    """The variations of one caption, one a line, without numbering or empty ones; `notes` counts what it met."""
    kept = []
    for line in (line.strip() for text in variations for line in text.splitlines() or [""]):
        bare = NUMBERING.sub("", line)
        notes["variations were numbered"] += bare != line
        notes["variations were empty and are left out"] += not bare
        kept += [bare] if bare else []
    notes[f"captions have other than {EACH} variations"] += len(kept) != EACH
    return kept


def _entries(path: str | os.PathLike[str]) -> Iterator[Entry]:
    objects = read_json(path)
    if not isinstance(objects, list):
        raise EspretError(f"{path}: found {objects!r:.80}; expected a list of objects")
    for index, found in enumerate(objects):
        match found:
            case {"path": str(file), "caption": str(caption), "variations": [*variations]} if _are_texts(variations):
                number = found["idx"] % EACH if isinstance(found.get("idx"), int) else None
                yield Entry(re.split(r"[/\\]", file)[-1], _plain(caption), number, variations)
            case _:
                raise EspretError(
                    f"{path}: entry {index}: found {found!r:.200}; "
                    "expected an object with 'path' and 'caption', texts, and 'variations', a list of texts"
                )


def _are_texts(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _plain(caption: str) -> str:
    return " ".join(caption.split())
