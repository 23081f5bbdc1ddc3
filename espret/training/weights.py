"""The weights that a run is used with: those of its best epoch, or the mean of its n best (`train.average`).

The n best epochs lie in `nbest/`; the mean is `averaged.pt`. What makes an epoch better: ranking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espret.config import Train
from espret.errors import EspretError, nearest
from espret.files import read_jsonl
from espret.training import checkpoint

NBEST = "nbest"
AVERAGED = "averaged.pt"

LOWER_IS_BETTER = ("loss", "MedR", "MeanR", "FER", "FER-raw")
History = Sequence[dict[str, Any]]
Tensors = tuple[Tensor, ...] | list[Tensor]


def ranking(history: History, select: str) -> list[int]:
    """The epochs (from 1), the one with the best validation metric `select` first, and the first of equals.

    Raises EspretError if validation has no such metric.
    """
    if history and select not in history[0]["valid"]:
        raise EspretError(f"train.select: no validation metric '{select}'{nearest(select, history[0]['valid'])}")
    sign = 1 if select.split("/")[-1] in LOWER_IS_BETTER else -1
    return sorted(range(1, len(history) + 1), key=lambda epoch: sign * history[epoch - 1]["valid"][select])


def best_epoch(history: History, select: str) -> int:
    """The first of `ranking`; 0 before the first epoch."""
    return ranking(history, select)[0] if history else 0


def path_of(folder: Path, epoch: int) -> Path:
    """Where the weights of one of the n best epochs of experiment `folder` lie."""
    return folder / NBEST / f"epoch-{epoch:04d}.pt"


def keep(folder: Path, train: Train, history: History, weights: dict[str, Tensor]) -> None:
    """After an epoch: leave its `weights` as best.pt and among the n best where that is what they are."""
    epoch, ranked = len(history), ranking(history, train.select)
    value = {"model": weights, "epoch": epoch, "valid": history[-1]["valid"]}
    if ranked[0] == epoch:
        checkpoint.save(folder / checkpoint.BEST, value)
    if epoch in _kept(train, ranked):
        checkpoint.save(path_of(folder, epoch), value)


def _kept(train: Train, ranked: Sequence[int]) -> Sequence[int]:
    count = max(train.keep_best, train.average)
    return ranked[:count] if count > 1 else []


def forget(folder: Path, train: Train, history: History) -> None:
    """Remove the weights of epochs that are no longer among the n best."""
    wanted = {path_of(folder, epoch) for epoch in _kept(train, ranking(history, train.select))}
    for path in (folder / NBEST).glob("epoch-*.pt"):
        if path not in wanted and re.fullmatch(r"epoch-\d+\.pt", path.name):
            path.unlink()


def mean(folder: Path, train: Train, history: History) -> dict[str, Any]:
    """The mean of the weights of the `train.average` best epochs, and which they are; counters are the best's.

    Raises EspretError where one of them was not kept, because the run began with a smaller `average`.
    """
    epochs = ranking(history, train.select)[: train.average]
    best = _of_epoch(folder, epochs[0], train)
    sums = {name: value.double() for name, value in best.items() if value.is_floating_point()}
    for epoch in epochs[1:]:
        weights = _of_epoch(folder, epoch, train)
        for name, total in sums.items():
            total += weights[name]
    return {"model": {**best, **{n: (sums[n] / len(epochs)).to(best[n].dtype) for n in sums}}, "epochs": epochs}


def _of_epoch(folder: Path, epoch: int, train: Train) -> dict[str, Tensor]:
    path = path_of(folder, epoch)
    if not path.exists():
        raise EspretError(
            f"{path}: the weights of epoch {epoch} were not kept; train.average is {train.average}: set it to what it "
            "was while the run trained, or train again in another folder"
        )
    return dict(checkpoint.load(path)["model"])


def finish(folder: Path, train: Train, history: History) -> None:
    """At the end of a run: write the mean of the n best, where it is asked for and not yet there."""
    if train.average > 1 and history and _averaged(folder, train, history) is None:
        checkpoint.save(folder / AVERAGED, mean(folder, train, history))


def _averaged(folder: Path, train: Train, history: History) -> dict[str, Any] | None:
    """What averaged.pt holds, unless it is damaged, or of a run that has since gone on to better epochs."""
    try:
        found = checkpoint.load(folder / AVERAGED)
    except EspretError:
        return None
    return found if found["epochs"] == ranking(history, train.select)[: train.average] else None


def load(folder: Path, train: Train) -> dict[str, Tensor]:
    """The weights to decode with, on the CPU: of a run that has not ended, those of the best epochs so far."""
    history = read_jsonl(folder / "metrics.jsonl") if train.average > 1 else []
    if not history:
        return dict(checkpoint.load(folder / checkpoint.BEST)["model"])
    return dict((_averaged(folder, train, history) or mean(folder, train, history))["model"])


def ema(network: torch.nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel | None:
    """The exponential moving average of a network's weights, updated after each step; None for a decay of 0.

    The decay after n updates is at most (1 + n) / (10 + n), so that the first steps are soon forgotten; running
    statistics of batch norms are those of the network itself.
    """
    if not decay:
        return None

    def update(averages: Tensors, current: Tensors, _updates: Tensor | int) -> None:
        # Not the argument, a copy on the GPU: reading it would wait for all that runs there.
        number = int(average.n_averaged)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + number) / (10 + number)))

    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=update)
    return average
