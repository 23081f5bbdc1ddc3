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
from espret.disk import writing
from espret.errors import EspretError
from espret.models.batch import Batch
from espret.training import distributed, weights
from espret.training.data import Split, cut, epoch_items, read
from espret.training.interruption import Interruption, Stopped
from espret.training.longest import memory_for, try_longest
from espret.training.progress import Pace, epoch_line
from espret.training.run import Progress, Run, finished, save, save_progress, start
from espret.training.seeds import Seeds
from espret.training.suspect import named
from espret.training.view import View


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

    def best() -> int:
        return weights.best_epoch(run.history, system.train.select)

    with Interruption() as interruption, View(out, run.history, best, device) as view:
        if not finished(run):
            try_longest(run.backward, splits[0], system.train)
        while not finished(run):
            epoch = len(run.history) + 1
            stats, pace = train_epoch(run, splits[0], epoch, workers, interruption)
            valid = validate(run, task, epoch)
            record(run, epoch, stats, valid, pace)
            if distributed.rank() == 0:
                save(run)
                print(epoch_line(run.history[-1], task.shown, system.train.epochs, best() == epoch), flush=True)
                view.epoch()
            if not finished(run):
                stop_if_asked(run, interruption, epoch + 1)
    if distributed.rank() == 0:
        with writing(out):
            weights.finish(out, system.train, run.history)
    return run


def train_epoch(
    run: Run, split: Split, epoch: int, workers: int, interruption: Interruption
) -> tuple[dict[str, float], Pace]:
    """One pass over the training split, or the rest of it: mean stats over the examples, and its pace."""
    options, done = run.system.train, run.progress
    items = epoch_items(split, options.captions_per_clip, run.seed, epoch)
    batches = cut(items, options.batch_size, distributed.rank(), distributed.world())
    saved = time.monotonic()
    run.network.train()
    with Pace(run.history, options.epochs, len(batches), len(items), done) as pace:
        ahead = read(split, batches[done.step :], workers, run.device)
        for step, batch in enumerate(pace.watch(ahead), done.step + 1):
            set_learning_rate(run, epoch - 1 + step / len(batches))
            stats = train_step(run, batch, Seeds(run.seed, epoch, distributed.rank(), step))
            pace.step(len(batch.utts), stats["loss"])
            done.add(stats, len(batch.utts), pace.seconds, pace.waited)
            if step < len(batches):
                stop_if_asked(run, interruption, epoch)
                if distributed.agreed(time.monotonic() - saved >= 60 * options.save_minutes):
                    run.finite.now()
                    save_progress(run)
                    saved = time.monotonic()
        run.finite.now()
    sums = {name: distributed.total(value).item() for name, value in done.totals.items()}
    return {name: value / len(items) for name, value in sums.items()}, pace


def train_step(run: Run, batch: Batch, place: Seeds) -> dict[str, Tensor]:
    """Loss, gradients and the optimiser's step; the means over the batch that are reported."""
    place.plant()
    batch = augment(batch.to(run.device), run.augmentations)
    run.optimizer.zero_grad(set_to_none=True)
    with named(batch, place, run.out), memory_for(f"the batch of epoch {place.epoch}, step {place.step}", run.device):
        loss, stats = run.backward(batch, place)
        reported = update(run)
    run.finite.later({"the loss": loss, "the gradient's norm": reported["grad_norm"]}, batch, place)
    return stats | reported


def update(run: Run) -> dict[str, Tensor]:
    """Clip the gradients, let the optimiser step and the moving average follow; what is reported of that.

    Where gradients overflow in float16, nothing is changed and their norm counts as 0.
    """
    precision = run.backward.precision
    precision.scaler.unscale_(run.optimizer)
    norm = torch.nn.utils.get_total_norm([one.grad for one in run.network.parameters() if one.grad is not None])
    if run.system.train.grad_clip:
        torch.nn.utils.clip_grads_with_norm_(run.network.parameters(), run.system.train.grad_clip, norm)
    updated = precision.step(run.optimizer)
    if updated and run.ema is not None:
        run.ema.update_parameters(run.network)
    if not precision.scaler.is_enabled():
        return {"grad_norm": norm}
    return {"grad_norm": norm if updated else torch.zeros_like(norm), "skipped": norm.new_tensor(not updated)}


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


def validate(run: Run, task: Any, epoch: int) -> dict[str, float]:
    """Validation metrics, computed by rank 0 and known to all, so that all agree on when to stop."""
    metrics: dict[str, float] | None = None
    if distributed.rank() == 0:
        metrics = task.validate(run.evaluated, run.device)
    metrics = distributed.broadcast(metrics)
    assert metrics is not None
    if not math.isfinite(metrics["loss"]):
        raise EspretError(
            f"the validation loss is {metrics['loss']} in epoch {epoch}; look at the validation set's features and "
            "captions, or lower train.optimizer.lr, or set train.grad_clip"
        )
    return metrics


def record(run: Run, epoch: int, stats: dict[str, float], valid: dict[str, float], pace: Pace) -> None:
    """Append the epoch's row to the history."""
    lr = run.optimizer.param_groups[0]["lr"]
    run.history.append({"epoch": epoch, "train": stats, "valid": valid, "lr": lr, **pace.row(run.device)})
    run.progress = Progress()
