"""Which items a report shows, and what it shows of them: the best, typical and worst of the test set.

The choice depends on the items alone: order by the figure of merit, ties in the order of a hash of the id, so that
among equals it is not always the first of the alphabet, and each clip is the subject of one example at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.files import read_jsonl
from espret.report.clips import Clip, Clips
from espret.training import CAPTIONING, RETRIEVAL

TOP = 5  # clips shown for a query
FIGURES = ("SPIDEr", "CIDEr-D", "METEOR", "ROUGE-L", "BLEU-4")  # captions are ordered by the first that was scored

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A clip in a result list. `score` is None for the right clip where it came too late to be in the list."""

    rank: str
    clip: Clip
    captions: list[str]
    right: bool
    score: float | None


@dataclass(frozen=True)
class Example:
    """One query with the clips it found (retrieval), or one clip with its caption and references (captioning).

    `said` is the query or the generated caption; `verdict` one line on how good it is.
    """

    said: str
    utt: str
    verdict: str
    found: list[Found] = field(default_factory=list)
    clip: Clip | None = None
    references: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Band:
    """Examples of one kind: "best", "typical" or "worst"."""

    name: str
    examples: list[Example]


def bands(task: str, items_file: Path, data: DataDir, clips: Clips, each: int) -> list[Band]:
    """`each` examples a band from a score directory's items.jsonl. Raises EspretError for a malformed row."""
    items = read_jsonl(items_file)
    needed = {RETRIEVAL: ("caption", "utt", "rank", "top"), CAPTIONING: ("caption", "utt", "references")}[task]
    for number, item in enumerate(items, 1):
        missing = [key for key in needed if not isinstance(item, dict) or key not in item]
        if missing:
            mend = "score again: ./run.sh --stage 5 --stop-stage 5 --force"
            raise EspretError(f"{items_file}:{number}: lacks {', '.join(missing)}; {mend}")
    if task == RETRIEVAL:
        chosen = choose(items, lambda item: float(item["rank"]), lambda item: str(item["caption"]), each)
        return [Band(name, [_query(item, data, clips) for item in part]) for name, part in chosen]
    figure = next((name for name in FIGURES if any(item.get(name) is not None for item in items)), FIGURES[0])
    chosen = choose(items, lambda item: -float(item.get(figure) or 0.0), lambda item: str(item["utt"]), each)
    return [Band(name, [_caption(item, data, clips) for item in part]) for name, part in chosen]


def choose(
    items: Sequence[Item], cost: Callable[[Item], float], name: Callable[[Item], str], each: int
) -> list[tuple[str, list[Item]]]:
    """`each` items of least, of median and of greatest cost, no clip twice; fewer where there are not enough."""
    ordered = sorted(items, key=lambda item: (cost(item), hashlib.sha256(name(item).encode()).digest()))
    middle = sorted(range(len(ordered)), key=lambda index: abs(2 * index - len(ordered) + 1))
    used: set[str] = set()

    def take(candidates: Sequence[Item]) -> list[Item]:
        taken: list[Item] = []
        for item in candidates:
            if len(taken) < each and item["utt"] not in used:
                used.add(item["utt"])
                taken.append(item)
        return sorted(taken, key=cost)

    best, worst = take(ordered), take(ordered[::-1])  # the ends first: a small test set has no middle
    typical = take([ordered[index] for index in middle])
    return [(label, part) for label, part in (("best", best), ("typical", typical), ("worst", worst)) if part]


def captions_of(data: DataDir, utt: str) -> list[str]:
    """The captions of a clip, [] for a clip without."""
    return [data.text[caption] for caption in data.utt2cap.get(utt, []) if caption in data.text]


def _query(item: Item, data: DataDir, clips: Clips) -> Example:
    right = item["utt"]
    found = [
        Found(str(rank), clips.pack(data, hit["utt"]), captions_of(data, hit["utt"]), hit["utt"] == right, hit["score"])
        for rank, hit in enumerate(item["top"][:TOP], 1)
    ]
    if not any(entry.right for entry in found):
        found.append(Found(f"{item['rank']:g}", clips.pack(data, right), captions_of(data, right), True, None))
    said = data.text.get(item["caption"], f"(caption {item['caption']} is not in the data directory)")
    return Example(said, right, f"right clip at rank {item['rank']:g}", found)


def _caption(item: Item, data: DataDir, clips: Clips) -> Example:
    shown = [f"{name} {item[name]:.3f}" for name in ("SPIDEr", "CIDEr-D", "SPICE") if item.get(name) is not None]
    verdict = " · ".join(shown) or "no score"
    clip = clips.pack(data, item["utt"])
    return Example(item["caption"], item["utt"], verdict, clip=clip, references=list(item["references"]))
