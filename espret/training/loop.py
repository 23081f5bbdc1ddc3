"""The training loop: named steps, the same for every task and network. What is on disk of a run: run.py.

A run is a function of its configuration, data and seed. Killed at any moment and started again, it continues where it
was last saved, within an epoch too, and ends, on the CPU, with the same weights and metrics as one that was never
interrupted. Asked to stop (SIGTERM, SIGINT, SIGUSR1), it saves after the step at hand.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espret.config import System
from espret.errors import EspretError
from espret.models.batch import Batch
from espret.training import distributed, weights
from espret.training.data import Split, cut, epoch_items, read
from espret.training.interruption import Interruption, Stopped
from espret.training.longest import memory_for, try_longest
from espret.training.run import Progress, Run, finished, save, save_progress, start
from espret.training.seeds import Seeds
from espret.training.suspect import named


def train(
    system: System,
    task: Any,
    splits: tuple[Split, Split],
    vocabulary: int,
    seed: int,
    out: Path,
    device: torch.device,
    workers: int = 0,
) -> Run:
    """Train `system` on splits (train, valid) into experiment folder `out`, or continue what is there.

    Raises Stopped where a signal asked for it.
    """
    run = start(system, splits, vocabulary, seed, out, device)
    with Interruption() as interruption:
        if not finished(run):
            try_longest(run.backward, splits[0], system.train)
        while not finished(run):
            begun = time.monotonic()
            epoch = len(run.history) + 1
            stats, clips = train_epoch(run, splits[0], epoch, workers, interruption)
            seconds = run.progress.seconds
            valid = validate(run, task, splits[1], epoch)
            record(run, epoch, stats, valid, seconds, clips)
            if distributed.rank() == 0:
                save(run)
                report(run, time.monotonic() - begun)
            if not finished(run):
                stop_if_asked(run, interruption, epoch + 1)
    if distributed.rank() == 0:
        weights.finish(out, system.train, run.history)
    return run


def train_epoch(
    run: Run, split: Split, epoch: int, workers: int, interruption: Interruption
) -> tuple[dict[str, float], int]:
    """One pass over the training split, or the rest of it: mean stats over the examples, and how many there are."""
    options, done = run.system.train, run.progress
    items = epoch_items(split, options.captions_per_clip, run.seed, epoch)
    batches = cut(items, options.batch_size, distributed.rank(), distributed.world())
    saved = time.monotonic()
    begun = saved - done.seconds  # of the epoch, what was before an interruption included
    run.network.train()
    for step, batch in enumerate(read(split, batches[done.step :], workers), done.step + 1):
        set_learning_rate(run, epoch - 1 + step / len(batches))
        stats = train_step(run, batch, Seeds(run.seed, epoch, distributed.rank(), step))
        done.add(stats, len(batch.utts), time.monotonic() - begun)
        if step < len(batches):
            stop_if_asked(run, interruption, epoch)
            if distributed.agreed(time.monotonic() - saved >= 60 * options.save_minutes):
                run.finite.now()
                save_progress(run)
                saved = time.monotonic()
    run.finite.now()
    sums = {name: distributed.total(value).item() for name, value in done.totals.items()}
    return {name: value / len(items) for name, value in sums.items()}, len(items)


def train_step(run: Run, batch: Batch, place: Seeds) -> dict[str, Tensor]:
    """Loss, gradients and the optimiser's step; the means over the batch that are reported."""
    place.plant()
    batch = augment(batch.to(run.device), run.augmentations)
    run.optimizer.zero_grad(set_to_none=True)
    with named(batch, place, run.out), memory_for(f"the batch of epoch {place.epoch}, step {place.step}", run.device):
        loss, stats = run.backward(batch, place)
        norm, updated = update(run)
    run.finite.later({"the loss": loss} | ({"the gradient's norm": norm} if updated else {}), batch, place)
    return {**stats, "grad_norm": norm}


def update(run: Run) -> tuple[Tensor, bool]:
    """Clip the gradients, let the optimiser step and the moving average follow.

    Returns the gradients' norm, and False where float16 gradients overflowed and nothing was changed.
    """
    precision = run.backward.precision
    precision.scaler.unscale_(run.optimizer)
    gradients = [one.grad for one in run.network.parameters() if one.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if run.system.train.grad_clip:
        torch.nn.utils.clip_grads_with_norm_(run.network.parameters(), run.system.train.grad_clip, norm)
    updated = precision.step(run.optimizer)
    if run.ema is not None:
        run.ema.update_parameters(run.network)
    return norm, updated


def stop_if_asked(run: Run, interruption: Interruption, epoch: int) -> None:
    """Where any process was asked to stop, save (within an epoch) and raise Stopped in all of them."""
    number = distributed.largest(interruption.number)
    if number:
        if run.progress.step:
            run.finite.now()
            save_progress(run)
        raise Stopped(number, epoch, run.progress.step)


def augment(batch: Batch, augmentations: list[Any]) -> Batch:
    """The batch with features augmented."""
    for one in augmentations:
        batch = replace(batch, feats=one(batch.feats, batch.lengths))
    return batch


def set_learning_rate(run: Run, epoch: float) -> None:
    """The schedule's learning rate after `epoch` epochs (a fraction counts steps)."""
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * run.schedule.factor(epoch, run.system.train.epochs)


def validate(run: Run, task: Any, split: Split, epoch: int) -> dict[str, float]:
    """Validation metrics, computed by rank 0 and known to all, so that all agree on when to stop."""
    metrics: dict[str, float] | None = None
    if distributed.rank() == 0:
        metrics = task.validate(run.evaluated, split, run.system.train.batch_size, run.device)
    metrics = distributed.broadcast(metrics)
    assert metrics is not None
    if not math.isfinite(metrics["loss"]):
        raise EspretError(
            f"the validation loss is {metrics['loss']} in epoch {epoch}, on {split.name}; look at its features and "
            "captions, or lower train.optimizer.lr, or set train.grad_clip"
        )
    return metrics


def record(run: Run, epoch: int, stats: dict[str, float], valid: dict[str, float], seconds: float, clips: int) -> None:
    """Append the epoch's row to the history."""
    row = {
        "epoch": epoch,
        "train": stats,
        "valid": valid,
        "lr": run.optimizer.param_groups[0]["lr"],
        "seconds": round(seconds, 3),
        "clips_per_second": round(clips / seconds, 1),
    }
    run.history.append(row)
    run.progress = Progress()


def report(run: Run, seconds: float) -> None:
    """One line on the epoch just done; `*` marks the best so far."""
    row, options = run.history[-1], run.system.train
    left = (options.epochs - row["epoch"]) * seconds
    figures = "  ".join(f"{name} {value:.4g}" for name, value in row["valid"].items() if name != "loss")
    star = " *" if weights.best_epoch(run.history, options.select) == row["epoch"] else ""
    print(
        f"epoch {row['epoch']}/{options.epochs}  loss {row['train']['loss']:.3f}  valid loss {row['valid']['loss']:.3f}"
        f"  {figures}  lr {row['lr']:.2g}  {row['clips_per_second']:.0f} clips/s"
        f"  ETA {int(left) // 60}:{int(left) % 60:02d}{star}",
        flush=True,
    )
