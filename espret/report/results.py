"""results.jsonl: one row a (task, system, seed, split, metric), read off the score records of the experiments.

Reads `exp/<task>_<system>/seed<k>/score_<split>/scores.json` and the `about.json` of the data directory that was
scored. What the rows are made into lives in `table` and `page`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import espret
from espret.data.leaks import kind_name
from espret.errors import EspretError, nearest
from espret.files import read_json, read_jsonl, write_jsonl
from espret.report.metrics import TASKS, metric_order

LAYOUT = "exp/<task>_<system>/seed<k>/score_<split>"


@dataclass(frozen=True)
class ScoreDir:
    """One score directory, with what its path says: `exp/<task>_<system>/seed<k>/score_<split>`."""

    path: Path
    task: str
    system: str
    seed: int
    split: str

    @property
    def run(self) -> Path:
        """The experiment's folder of this seed, where config.yaml and metrics.jsonl are."""
        return self.path.parent

    def scores(self) -> dict[str, Any]:
        """The score record, checked. Raises EspretError naming the file, what was found and what was expected."""
        file = self.path / "scores.json"
        if not file.is_file():
            raise EspretError(f"{file}: no such file; score first: ./run.sh --stage 5 --stop-stage 5")
        record = read_json(file)
        keys = ("task", "split", "n_clips", "n_captions", "metrics")
        missing = [key for key in keys if not isinstance(record, dict) or key not in record]
        if missing:
            raise EspretError(
                f"{file}: lacks {', '.join(missing)}; score again: ./run.sh --stage 5 --stop-stage 5 --force"
            )
        for key, expected in (("task", self.task), ("split", self.split)):
            if record[key] != expected:
                raise EspretError(f"{file}: is of {key} '{record[key]}', but lies in {self.path} ('{expected}')")
        for metric, value in record["metrics"].items():
            if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise EspretError(f"{file}: {metric} is {value!r}; expected a finite number or null")
        return record

    def data_dir(self, record: Mapping[str, Any]) -> Path:
        """The data directory that was scored: the record's "data", else data/<split> as recipes lay it out."""
        return Path(record.get("data") or Path("data") / self.split)


def score_dir(path: str | os.PathLike[str]) -> ScoreDir:
    """Take a score directory's path apart. Raises EspretError where it is not laid out as experiments are."""
    absolute = Path(os.path.abspath(path))
    text = "/".join(absolute.parts[-3:])
    match = re.fullmatch(rf"({'|'.join(TASKS)})_([^/]+)/seed(\d+)/score_([^/]+)", text)
    if not match:
        raise EspretError(f"{path}: not a score directory; expected {LAYOUT} with a task of {', '.join(TASKS)}")
    task, system, seed, split = match.groups()
    return ScoreDir(Path(path), task, system, int(seed), split)


def score_dirs(paths: Iterable[str | os.PathLike[str]]) -> list[ScoreDir]:
    """The score directories of `paths`, each once, sorted by task (retrieval first), system, split and seed."""
    found: dict[tuple[int, str, str, int], ScoreDir] = {}
    for path in paths:
        one = score_dir(path)
        key = (TASKS.index(one.task), one.system, one.split, one.seed)
        other = found.setdefault(key, one)
        if os.path.realpath(other.path) != os.path.realpath(one.path):
            raise EspretError(f"{one.path} and {other.path} are both {one.task} {one.system} seed {one.seed}: name one")
    return [found[key] for key in sorted(found)]


@dataclass(frozen=True)
class Row:
    """One line of results.jsonl. `value` is in natural units (percent for R@k and mAP@10), None where `unavailable`
    says why. `date` is the day (UTC) on which the score record was written; `list_sha256` is that of the clip list.
    `listed` is how many clips the variant has when none is missing, `leak` what of them the system was trained on."""

    task: str
    system: str
    corpus: str
    split: str
    seed: int
    metric: str
    value: float | None
    n_clips: int
    n_captions: int
    list_sha256: str
    variant: str | None
    date: str
    espret: str
    unavailable: str | None = None
    listed: int | None = None
    leak: str | None = None


OPTIONAL = ("unavailable", "listed", "leak")  # written where they say something


def rows_of(one: ScoreDir, corpus: str | None = None) -> list[Row]:
    """The rows of one score directory; `corpus` overrides the name that its data directory gives."""
    record = one.scores()
    about = _about(one, record)
    stamp = (one.path / "scores.json").stat().st_mtime
    reasons = record.get("unavailable") or {}
    rows = []
    for metric in sorted(record["metrics"], key=lambda name: metric_order(one.task, name)):
        value = record["metrics"][metric]
        rows.append(
            Row(
                task=one.task,
                system=one.system,
                corpus=corpus or about["corpus"],
                split=one.split,
                seed=one.seed,
                metric=metric,
                value=value,
                n_clips=record["n_clips"],
                n_captions=record["n_captions"],
                list_sha256=about["list_sha256"],
                variant=about.get("variant"),
                date=datetime.fromtimestamp(stamp, timezone.utc).date().isoformat(),
                espret=record.get("espret", espret.__version__),
                unavailable=reasons.get(metric, "the score record gives no reason") if value is None else None,
                listed=about.get("listed"),
                leak=_leak(one),
            )
        )
    return rows


def _about(one: ScoreDir, record: Mapping[str, Any]) -> dict[str, Any]:
    """The about.json of the data that was scored; its clip list must be the one that the scores are of."""
    file = one.data_dir(record) / "about.json"
    where = f"{one.path / 'scores.json'} is of {file.parent}"
    if not file.is_file():
        raise EspretError(f"{file}: no such file ({where}); prepare it: ./run.sh --stage 0 --stop-stage 0")
    about = read_json(file)
    for key in ("corpus", "list_sha256"):
        if key not in about:
            raise EspretError(
                f"{file}: lacks {key} ({where}); prepare it again: ./run.sh --stage 0 --stop-stage 0 --force"
            )
    if about.get("clips", record["n_clips"]) != record["n_clips"]:
        raise EspretError(
            f"{file}: {about['clips']} clips, but {one.path / 'scores.json'} has {record['n_clips']}: the data "
            "changed after decoding, or not all was decoded; mend: ./run.sh --stage 4 --stop-stage 5 --force"
        )
    return about


def _leak(one: ScoreDir) -> str | None:
    """What of the scored clips the system was trained on, as `espret leaks` has found and the recipe declares."""
    file = one.path / "leaks.json"
    pairs = read_json(file)["pairs"] if file.is_file() else []
    shared = [
        f"{pair['in_test']} of {pair['of_test']} test clips share {kind_name(pair['kind'])} with the training data "
        f"({pair['declared']})"
        for pair in pairs
        if pair["declared"]
    ]
    return "; ".join(shared) or None


def collect(paths: Iterable[str | os.PathLike[str]], corpus: str | None = None) -> list[Row]:
    """The rows of all score directories in `paths`, in a fixed order."""
    return [row for one in score_dirs(paths) for row in rows_of(one, corpus)]


def write_results(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Write `rows` to results.jsonl, whole; the OPTIONAL keys only where they have a value."""

    def as_json(row: Row) -> dict[str, Any]:
        return {key: value for key, value in asdict(row).items() if key not in OPTIONAL or value is not None}

    write_jsonl(path, map(as_json, rows))


def read_results(path: str | os.PathLike[str]) -> list[Row]:
    """The rows of a results.jsonl. Raises EspretError naming file and line of a row that is not one."""
    known = set(Row.__dataclass_fields__)
    rows = []
    for number, values in enumerate(read_jsonl(path), 1):
        if not isinstance(values, dict):
            raise EspretError(f"{path}:{number}: expected an object, found {values!r:.60}")
        for key in values:
            if key not in known:
                raise EspretError(f"{path}:{number}: unknown key '{key}'{nearest(key, known)}")
        missing = sorted(known.difference(OPTIONAL, values))
        if missing:
            raise EspretError(
                f"{path}:{number}: lacks {', '.join(missing)}; collect again: ./run.sh --stage 5 --stop-stage 5 --force"
            )
        if values["task"] not in TASKS:
            raise EspretError(f"{path}:{number}: unknown task '{values['task']}'{nearest(values['task'], TASKS)}")
        rows.append(Row(**values))
    return rows
