"""A score directory as arrays: each metric of one run as a function of weights on the clips, and what was scored.

Reads and checks scores.json and items.jsonl. Which runs may be set side by side is decided in `compare`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from espret.data.tables import list_sha256
from espret.errors import EspretError
from espret.files import read_json, read_jsonl
from espret.scoring import METRICS, SUMMED
from espret.scoring.retrieval import a2t_precision, query_values, t2a_precisions
from espret.scoring.statistics.significance import Floats, Ints, Values, weighted_medians
from espret.training import CAPTIONING, RETRIEVAL

LAYOUT = re.compile(rf"(?:{RETRIEVAL}|{CAPTIONING})_(?P<system>[^/]+)/seed(?P<seed>\d+)/score_[^/]+")
MEND = "score again: ./run.sh --stage 5 --stop-stage 5 --force"
RELATIVE, ABSOLUTE = 1e-9, 1e-9  # how far a set's value may lie from what its items give
KEY = {RETRIEVAL: "caption", CAPTIONING: "utt"}  # the id of an item
Item = Mapping[str, Any]


class Quantity(Protocol):
    """One metric of one run."""

    def of(self, weights: Floats) -> Floats:
        """The set's value [resamples] with each clip taken weights[r, clip] times: whole numbers [resamples, clips]."""


@dataclass(frozen=True)
class Sums:
    """A metric of sums over clips of `rows` [clips, k]; `value` maps sums [..., k] to values [...]."""

    rows: Floats
    value: Callable[[Floats], Floats]

    def of(self, weights: Floats) -> Floats:
        return self.value(weights @ self.rows)


@dataclass(frozen=True)
class MedianRank:
    """The median of `ranks` [m]; `clip` [m] is the clip of each, `copies` [m] how often it counts."""

    ranks: Floats
    clip: Ints
    copies: Ints

    def of(self, weights: Floats) -> Floats:
        return weighted_medians(weights, self.ranks, self.clip, self.copies)


def values_of(quantities: Sequence[Quantity]) -> Values:
    """All of them at once: weights [resamples, clips] -> values [resamples, quantities]. What is a sum is summed in one
    product of matrices, which takes a fraction of the time of many."""
    tables = {id(one.rows): one.rows for one in quantities if isinstance(one, Sums)}  # BLEU-1..4 share theirs
    ends = np.cumsum([0, *(rows.shape[1] for rows in tables.values())])
    columns = {name: slice(first, last) for name, first, last in zip(tables, ends, ends[1:])}

    def values(weights: Floats) -> Floats:
        sums = weights @ np.hstack(list(tables.values())) if tables else weights
        return np.stack(
            [
                one.value(sums[:, columns[id(one.rows)]]) if isinstance(one, Sums) else one.of(weights)
                for one in quantities
            ],
            axis=1,
        )

    return values


def ratio(sums: Floats) -> Floats:
    """The mean from a sum of values and the number of values [..., 2]."""
    value: Floats = sums[..., 0] / sums[..., 1]
    return value


@dataclass
class Run:
    """One score directory. `clips` are those with items, sorted; `content` is what was scored: clip -> references, or
    caption -> clip. `left_out` says why a metric of the record has no quantity."""

    folder: Path
    system: str
    seed: int | None
    task: str
    split: str
    n_clips: int
    n_captions: int
    list_sha256: str | None
    clips: list[str]
    content: dict[str, Any]
    quantities: dict[str, Quantity] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def items_file(self) -> Path:
        return self.folder / "items.jsonl"


def read_run(folder: Path) -> Run:
    """Read a score directory. Raises EspretError naming the file and the line, clip or metric: for what is missing or
    malformed, items that are twice there or not all there, values that are not finite, a set's value that its items do
    not give, and data that has changed since."""
    record = _record(folder / "scores.json")
    items = _items(folder / "items.jsonl", record)
    clips = sorted({item["utt"] for item in items})
    match = LAYOUT.fullmatch("/".join(folder.absolute().parts[-3:]))
    run = Run(
        folder=folder,
        system=match["system"] if match else folder.name,
        seed=int(match["seed"]) if match else None,
        task=record["task"],
        split=record["split"],
        n_clips=record["n_clips"],
        n_captions=record["n_captions"],
        list_sha256=_list_hash(folder, record, folder.absolute().parents[3] if match else Path()),
        clips=clips,
        content={item[KEY[record["task"]]]: item.get("references", item["utt"]) for item in items},
    )
    if run.list_sha256 and len(clips) == run.n_clips and list_sha256(clips) != run.list_sha256:
        raise EspretError(f"{run.items_file}: not of the clips that its data directory lists now; {MEND}")
    possible = _ranks(run, items) if run.task == RETRIEVAL else _values(run, items, record["metrics"])
    for metric, value in record["metrics"].items():
        _take(run, metric, value, possible, record.get("unavailable") or {})
    return run


def _record(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise EspretError(f"{file}: no such file; score first: ./run.sh --stage 5 --stop-stage 5")
    record = read_json(file)
    keys = ("task", "split", "n_clips", "n_captions", "metrics")
    if missing := [key for key in keys if not isinstance(record, dict) or key not in record]:
        raise EspretError(f"{file}: lacks {', '.join(missing)}; {MEND}")
    if record["task"] not in (RETRIEVAL, CAPTIONING):
        raise EspretError(f"{file}: task is {record['task']!r}; expected {RETRIEVAL} or {CAPTIONING}")
    for metric, value in record["metrics"].items():
        if value is not None:
            _finite(value, f"{file}: {metric}")
    return dict(record)


def _items(file: Path, record: Mapping[str, Any]) -> list[Item]:
    retrieval = record["task"] == RETRIEVAL
    needed = ("utt", "caption", "rank") if retrieval else ("utt", "references")
    key = KEY[record["task"]]
    items: dict[str, Item] = {}
    for number, item in enumerate(read_jsonl(file), 1):
        if missing := [name for name in needed if not isinstance(item, dict) or name not in item]:
            raise EspretError(f"{file}:{number}: lacks {', '.join(missing)}; {MEND}")
        if item[key] in items:
            raise EspretError(f"{file}:{number}: a second item of {item[key]}; {MEND}")
        items[item[key]] = item
    n_clips, n_captions = record["n_clips"], record["n_captions"]
    captions = len(items) if retrieval else sum(len(item["references"]) for item in items.values())
    if captions != n_captions or (not retrieval and len(items) != n_clips):
        raise EspretError(
            f"{file}: {len(items)} items with {captions} captions, but the scores.json beside it is of {n_clips} clips"
            f" with {n_captions}; a part never stands for the set; {MEND}"
        )
    return [items[name] for name in sorted(items)]


def _list_hash(folder: Path, record: Mapping[str, Any], root: Path) -> str | None:
    """That of the data directory that was scored, where it is still there; `root` is the recipe's folder."""
    about = root / (record.get("data") or Path("data") / record["split"]) / "about.json"
    return read_json(about).get("list_sha256") if about.is_file() else None


def _take(
    run: Run, metric: str, value: float | None, possible: Mapping[str, Quantity | str], reasons: Mapping[str, str]
) -> None:
    """Add the metric's quantity, or the reason why there is none, to the run."""
    quantity = possible.get(metric, "it is a value of the set only, its items have none")
    if value is None:
        run.left_out[metric] = f"unavailable: {reasons.get(metric, 'the score record gives no reason')}"
    elif isinstance(quantity, str):
        run.left_out[metric] = quantity
    else:
        from_items = float(quantity.of(np.ones((1, len(run.clips))))[0])
        if not math.isclose(from_items, value, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            raise EspretError(
                f"{run.items_file}: its items give {metric} {from_items!r}, but the scores.json beside it has"
                f" {value!r}; they are not of one scoring, or not of the whole set; {MEND}"
            )
        run.quantities[metric] = quantity


def _values(run: Run, items: Sequence[Item], metrics: Mapping[str, float | None]) -> dict[str, Quantity | str]:
    """Captioning: metrics of sums from the items' statistics, the others as means."""
    possible: dict[str, Quantity | str] = {}
    ones = np.ones(len(items))
    for metric, value in metrics.items():
        if value is not None and any(metric in item for item in items):
            values = [_finite(item.get(metric), f"{run.items_file}: {metric} of {item['utt']}") for item in items]
            possible[metric] = Sums(np.stack([np.array(values), ones], axis=1), ratio)
    for module in SUMMED:
        possible |= _sums(run, module, [item.get("statistics", {}).get(module) for item in items])
    return possible


def _sums(run: Run, module: str, rows: list[Any]) -> dict[str, Quantity | str]:
    of_sums = SUMMED.load(module)
    names = METRICS.load(module).names
    if None in rows:
        return dict.fromkeys(names, f"its items lack the statistics that {module} of a set is made of; {MEND}")
    if len({len(row) for row in rows}) > 1:
        raise EspretError(f"{run.items_file}: the statistics of {module} differ in length between items; {MEND}")
    numbers = np.array(
        [[_finite(x, f"{run.items_file}: statistics of {utt}") for x in row] for utt, row in zip(run.clips, rows)]
    )
    return {name: Sums(numbers, partial(_one_of, of_sums, name)) for name in names}


def _one_of(of_sums: Callable[[Floats], Mapping[str, Floats]], name: str, sums: Floats) -> Floats:
    return of_sums(sums)[name]


def _ranks(run: Run, items: Sequence[Item]) -> dict[str, Quantity | str]:
    """Retrieval: t2a has a query a caption, a2t one a clip; both are resampled by clip."""
    number = {utt: index for index, utt in enumerate(run.clips)}
    clip = np.array([number[item["utt"]] for item in items])
    ranks = np.array([_rank(run, item, "rank") for item in items])
    possible = _queries("t2a", ranks, t2a_precisions(ranks), clip)
    if not all("a2t_rank" in item for item in items):
        names = [name.replace("t2a", "a2t") for name in possible]
        return possible | dict.fromkeys(names, f"its items have no a2t_rank; {MEND}")
    own = np.array([_rank(run, item, "a2t_rank") for item in items])
    groups = [np.sort(own[clip == index]) for index in range(len(run.clips))]
    best, precisions = np.array([group[0] for group in groups]), np.array([a2t_precision(group) for group in groups])
    return possible | _queries("a2t", best, precisions, np.arange(len(groups)))


def _queries(direction: str, ranks: Floats, precisions: Floats, clip: Ints) -> dict[str, Quantity | str]:
    queries = np.bincount(clip).astype(np.float64)
    means: dict[str, Quantity | str] = {
        f"{direction}/{name}": Sums(np.stack([np.bincount(clip, values), queries], axis=1), ratio)
        for name, values in query_values(ranks, precisions).items()
    }
    return means | {f"{direction}/MedR": MedianRank(ranks, clip, np.ones(len(clip), dtype=np.int64))}


def _rank(run: Run, item: Item, key: str) -> float:
    where = f"{run.items_file}: {key} of {item['caption']}"
    rank = _finite(item[key], where)
    if rank < 1:
        raise EspretError(f"{where} is {rank!r}; expected 1 or more; {MEND}")
    return rank


def _finite(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise EspretError(f"{where} is {value!r}; expected a finite number; {MEND}")
    return float(value)
