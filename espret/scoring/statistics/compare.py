"""Compare systems that were scored on one test set: which may be set side by side, their intervals, and the tests.

`read_systems` reads and checks, `compare` computes. What a score directory holds is read in `itemwise`, the statistics
are in `significance`, and espret.report.comparison lays the outcome out.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from espret.data.tables import some
from espret.errors import EspretError, nearest
from espret.scoring.statistics import significance
from espret.scoring.statistics.itemwise import MedianRank, Quantity, Run, Sums, read_run, values_of
from espret.scoring.statistics.significance import Floats
from espret.training import CAPTIONING

SEED_FOLDER = re.compile(r"seed(\d+)")


@dataclass
class System:
    """A system: one run, or one a seed. `unscored` are the seeds that have no scores of the split."""

    name: str
    runs: list[Run]
    unscored: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Estimate:
    """A system's value (the mean over its runs), the interval, each run's value, and their standard deviation (n-1)."""

    value: float
    low: float
    high: float
    runs: list[float]
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """Value of system `second` minus that of system `first` (their places in the comparison), interval and p-values."""

    first: int
    second: int
    value: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float
    p_welch: float | None


@dataclass(frozen=True)
class Row:
    """One metric: an estimate a system and a difference a pair."""

    metric: str
    estimates: list[Estimate]
    differences: list[Difference]


@dataclass(frozen=True)
class Comparison:
    """All metrics, those left out with the reason, and how the numbers were computed."""

    systems: list[System]
    rows: list[Row]
    left_out: dict[str, str]
    resamples: int
    confidence: float
    seed: int


def read_systems(paths: Sequence[str], split: str = "test") -> list[System]:
    """The systems in `paths`, each a score directory or the folder of an experiment with its seeds, whose scores of
    `split` are read. Raises EspretError for what is no such thing, for a directory named twice, and where they are not
    of one task, split, list of clips, captions and references (`check`)."""
    systems = [_system(Path(path), split) for path in paths]
    seen: dict[Path, Path] = {}
    for run in (run for system in systems for run in system.runs):
        if seen.setdefault(run.folder.resolve(), run.folder) is not run.folder:
            raise EspretError(f"{run.folder}: named twice; a system cannot be compared with itself")
    names = [system.name for system in systems]
    for system, path in zip(systems, paths):
        if names.count(system.name) > 1:
            system.name = f"{system.name} ({path})"
    check([run for system in systems for run in system.runs])
    return systems


def _system(path: Path, split: str) -> System:
    if (path / "scores.json").is_file():
        run = read_run(path)
        return System(run.system if run.seed is None else f"{run.system}, seed {run.seed}", [run])
    found = [(SEED_FOLDER.fullmatch(folder.name), folder) for folder in path.glob("seed*")]
    seeds = {int(match[1]): folder / f"score_{split}" for match, folder in found if match}
    scored = [seed for seed in sorted(seeds) if (seeds[seed] / "scores.json").is_file()]
    if not scored:
        raise EspretError(
            f"{path}: neither a score directory (scores.json, items.jsonl) nor the folder of an experiment with"
            f" seed<k>/score_{split}; score first: ./run.sh --stage 5 --stop-stage 5"
        )
    runs = [read_run(seeds[seed]) for seed in scored]
    return System(runs[0].system, runs, sorted(set(seeds) - set(scored)))


def check(runs: Sequence[Run]) -> None:
    """Raise EspretError, naming files and ids, unless all runs are of the same task, split, clips and captions: the
    values of items of different sets are never paired (the idf of CIDEr-D and the ranks are those of the set)."""
    one = runs[0]
    if len(one.clips) < 2:
        raise EspretError(f"{one.items_file}: {len(one.clips)} clip; a comparison needs two or more")
    for other in runs[1:]:
        for what in ("task", "split", "n_clips", "list_sha256"):
            a, b = getattr(one, what), getattr(other, what)
            if a != b and None not in (a, b):
                raise EspretError(f"{one.folder} and {other.folder} differ in {what}: {a} and {b}; not comparable")
        for here, there in ((one, other), (other, one)):
            if lacking := sorted(set(here.content) - set(there.content)):
                raise EspretError(
                    f"{there.items_file} lacks ids of {here.items_file}: {some(lacking)}; systems are compared on the"
                    " same whole set, never on a part"
                )
        if differing := [key for key in sorted(one.content) if one.content[key] != other.content[key]]:
            what = "the references, or their order," if one.task == CAPTIONING else "the clip"
            raise EspretError(f"{one.items_file} and {other.items_file} differ in {what} of {some(differing)}")


def compare(
    systems: Sequence[System],
    metrics: Iterable[str] | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Estimates and differences of `metrics`, or of all that the systems' records have. Equal arguments give equal
    numbers. Raises EspretError for a metric that a record lacks, and for one asked for that cannot be compared."""
    runs = [run for system in systems for run in system.runs]
    chosen, left_out = _metrics(runs, list(metrics) if metrics is not None else None)
    clips = len(runs[0].clips)

    resampled = _means(systems, chosen)
    values = resampled(np.ones((1, clips)))[0]
    samples = significance.bootstrap(resampled, clips, resamples, seed)
    low, high = significance.interval(samples, confidence)
    rows = [Row(name, _estimates(systems, name, values[i], low[i], high[i]), []) for i, name in enumerate(chosen)]
    for j, k in combinations(range(len(systems)), 2):
        observed, drawn = values[:, k] - values[:, j], samples[:, :, k] - samples[:, :, j]
        exchange = _exchange(systems[j], systems[k], chosen)
        exchanged = significance.randomise(exchange, clips, resamples, seed)
        low, high = significance.interval(drawn, confidence)
        bootstrap_p = significance.bootstrap_p(drawn, observed)
        randomisation_p = significance.randomisation_p(exchanged, exchange(np.zeros((1, clips)))[0])
        for i, row in enumerate(rows):
            numbers = (float(x[i]) for x in (observed, low, high, bootstrap_p, randomisation_p))
            row.differences.append(_difference(row.estimates, j, k, *numbers))
    return Comparison(list(systems), rows, left_out, resamples, confidence, seed)


def _metrics(runs: Sequence[Run], wanted: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """The metrics to compare, and why the others of the records are not."""
    known = [{**dict.fromkeys(run.quantities), **run.left_out} for run in runs]
    for name in wanted if wanted is not None else [name for names in known for name in names]:
        for run, names in zip(runs, known):
            if name not in names:
                hint = nearest(name, names) if wanted else "; score all alike, or name what to compare with --metrics"
                raise EspretError(f"{run.folder / 'scores.json'}: has no {name}{hint}")
    reasons = {name: f"{run.folder}: {reason}" for run in reversed(runs) for name, reason in run.left_out.items()}
    for name in wanted or ():
        if name in reasons:
            raise EspretError(f"{name} cannot be compared: {reasons[name]}")
    chosen = list(dict.fromkeys(wanted)) if wanted else [name for name in runs[0].quantities if name not in reasons]
    if not chosen:
        raise EspretError("no metric can be compared: " + "; ".join(f"{name}: {why}" for name, why in reasons.items()))
    return chosen, {} if wanted else reasons


def _means(systems: Sequence[System], metrics: Sequence[str]) -> significance.Values:
    """Weights [resamples, clips] -> means over the runs of each system [resamples, metrics, systems]."""
    runs = [run for system in systems for run in system.runs]
    first = np.cumsum([0, *(len(system.runs) for system in systems[:-1])])
    everything = values_of([run.quantities[name] for name in metrics for run in runs])

    def means(weights: Floats) -> Floats:
        of_runs = everything(weights).reshape(len(weights), len(metrics), len(runs))
        return np.add.reduceat(of_runs, first, axis=2) / np.array([len(system.runs) for system in systems])

    return means


def _estimates(systems: Sequence[System], metric: str, values: Floats, low: Floats, high: Floats) -> list[Estimate]:
    estimates = []
    for j, system in enumerate(systems):
        once = np.ones((1, len(system.runs[0].clips)))
        runs = [float(run.quantities[metric].of(once)[0]) for run in system.runs]
        sd = statistics.stdev(runs) if len(runs) > 1 else None
        estimates.append(Estimate(float(values[j]), float(low[j]), float(high[j]), runs, sd))
    return estimates


def _difference(estimates: Sequence[Estimate], first: int, second: int, *numbers: float) -> Difference:
    value, low, high, p_bootstrap, p_randomisation = numbers
    p_welch = significance.welch_p(estimates[first].runs, estimates[second].runs)
    return Difference(first, second, value, low, high, p_bootstrap, p_randomisation, p_welch)


def _exchange(first: System, second: System, metrics: Sequence[str]) -> significance.Values:
    """Exchanges [resamples, clips] -> differences [resamples, metrics] of the second system minus the first.

    A clip's outputs of all runs are exchanged together, so that several runs of a system count as one (`_joined`): for
    metrics that are no means, that is not the mean of the runs' values.
    """
    both = values_of(
        [
            _joined([run.quantities[name] for run in first.runs], [run.quantities[name] for run in second.runs])
            for name in metrics
        ]
    )

    def differences(swaps: Floats) -> Floats:
        stay, go = np.hstack([1 - swaps, swaps]), np.hstack([swaps, 1 - swaps])
        return both(go) - both(stay)

    return differences


def _joined(first: Sequence[Quantity], second: Sequence[Quantity]) -> Quantity:
    """One quantity over twice the clips: those of the first system, then the same clips of the second. Several runs of
    a system are taken together: sums are averaged, ranks count so that both systems weigh the same."""
    one = first[0]
    if isinstance(one, Sums):
        halves = [np.mean([run.rows for run in runs if isinstance(run, Sums)], axis=0) for runs in (first, second)]
        return Sums(np.concatenate(halves), one.value)
    ranks = [[run for run in runs if isinstance(run, MedianRank)] for runs in (first, second)]
    clips = 1 + max(int(run.clip.max()) for run in ranks[0])
    times = math.lcm(len(first), len(second))
    return MedianRank(
        np.concatenate([run.ranks for runs in ranks for run in runs]),
        np.concatenate([run.clip + clips * side for side, runs in enumerate(ranks) for run in runs]),
        np.concatenate([run.copies * (times // len(runs)) for runs in ranks for run in runs]),
    )
