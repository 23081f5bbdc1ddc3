"""The loss of a batch and its gradients: in one pass, or in parts that need less memory (`train.accumulate`).

The parts of a batch give the gradients of the whole, also where every example's loss depends on all others, as in
contrastive losses: what the loss needs of each example is computed first, without keeping activations, then the
gradients with respect to that, and with these the parts once more (Gao et al., 2021, Scaling Deep Contrastive Learning
Batch Size under Memory Limited Setup). Only batch norms see parts, not the whole.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from espret.models.batch import Batch
from espret.training import distributed
from espret.training.precision import Precision
from espret.training.seeds import Seeds

Stats = dict[str, Tensor]
Rows = tuple[Tensor, ...]


class Objective(nn.Module):
    """What several processes compute of a network: its loss, or the rows of a part. DDP wraps it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch, whole: Batch | None = None, rows: bool = False) -> Any:
        """(loss, stats) of the batch, or of what part `batch` adds to `whole`; or its rows."""
        if rows:
            return self.network.rows(batch)  # type: ignore[operator]
        return self.network.loss(batch) if whole is None else self.network.loss(batch, whole)  # type: ignore[operator]


class Backward:
    """Computes gradients of `network`'s loss into its parameters, on this process's part of a batch.

    A network has `loss(batch) -> (loss, stats)`. For parts, it has `loss(part, whole)` as well, what the part adds to
    the loss of the whole batch; or, where that is no sum over examples, `rows(part)`, what the loss needs of each clip
    and caption (those of the parts, one below the other, are those of the whole), and `loss_of(rows, whole)`.
    """

    def __init__(self, network: nn.Module, precision: Precision, parts: int) -> None:
        self.network = network
        self.precision = precision
        self.parts = parts
        self.model: nn.Module = Objective(network)
        if distributed.world() > 1:
            on_gpu = precision.device.type == "cuda"
            if on_gpu:
                self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
            self.model = DistributedDataParallel(self.model, device_ids=[precision.device.index] if on_gpu else None)

    def __call__(self, batch: Batch, seeds: Seeds) -> tuple[Tensor, Stats]:
        """The loss, and means over the batch of what the network reports."""
        # All processes make as many parts: synchronised batch norms count on it.
        count = min(self.parts, -distributed.largest(-len(batch.utts))) if self.parts > 1 else 1
        if count == 1:
            with self.precision.autocast():
                loss, stats = self.model(batch)
            self._backward(loss)
            return loss.detach(), stats
        parts = batch.parts(count)
        return self._by_rows(batch, parts, seeds) if hasattr(self.network, "rows") else self._summed(batch, parts)

    def _backward(self, loss: Tensor) -> None:
        self.precision.scaler.scale(loss).backward()

    def _summed(self, batch: Batch, parts: list[Batch]) -> tuple[Tensor, Stats]:
        total, sums = torch.zeros((), device=batch.feats.device), Stats()
        for part in parts:
            with self._communicating(part is parts[-1]):
                with self.precision.autocast():
                    loss, stats = self.model(part, batch)
                self._backward(loss)
            total += loss.detach()
            sums = _added(sums, stats)
        return total, sums

    def _by_rows(self, batch: Batch, parts: list[Batch], seeds: Seeds) -> tuple[Tensor, Stats]:
        every: list[Rows] = []
        with torch.no_grad(), statistics_kept(self.network), self.precision.autocast():
            for number, part in enumerate(parts):
                seeds.part(number)
                every.append(self.network.rows(part))  # type: ignore[operator]
        rows = tuple(torch.cat(one).requires_grad_() for one in zip(*every))
        with self.precision.autocast():
            loss, stats = self.network.loss_of(rows, batch)  # type: ignore[operator]
        self._backward(loss)
        touched = [one for one in self.network.parameters() if one.grad is not None]  # the loss's own
        for number, part in enumerate(parts):
            seeds.part(number)
            with self._communicating(part is parts[-1]):
                with self.precision.autocast():
                    again = list(self.model(part, rows=True))
                if part is parts[-1]:  # DDP adds up what this backward pass reaches
                    again[0] = again[0] + sum(0.0 * one.sum() for one in touched)
                torch.autograd.backward(again, _gradients(rows, every, number))
        return loss.detach(), stats

    def _communicating(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Where DDP adds up the gradients of the processes: in the last part, whose gradients then hold all."""
        if last or not isinstance(self.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.model.no_sync()


def _added(sums: Stats, stats: Stats) -> Stats:
    return {name: sums.get(name, 0.0) + value for name, value in stats.items()}


@torch.no_grad()
def stats_in_parts(network: Any, batch: Batch, count: int) -> Stats:
    """What `network` reports of the batch, computed in at most `count` parts as in training, but without gradients."""
    if count == 1:
        return network.loss(batch)[1]
    parts = batch.parts(min(count, len(batch.utts)))
    if hasattr(network, "rows"):
        rows = tuple(torch.cat(one) for one in zip(*[network.rows(part) for part in parts]))
        return network.loss_of(rows, batch)[1]
    return functools.reduce(_added, (network.loss(part, batch)[1] for part in parts), Stats())


def _gradients(rows: Rows, every: list[Rows], number: int) -> list[Tensor]:
    """Of the gradients with respect to all rows, those of part `number`."""
    found = []
    for column, values in enumerate(rows):
        assert values.grad is not None
        found.append(values.grad.split([len(part[column]) for part in every])[number])
    return found


@contextlib.contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch norms normalise as in training, but do not count what they see: it comes once more."""
    norms = [one for one in network.modules() if isinstance(one, _BatchNorm)]
    before = [(one.momentum, one.num_batches_tracked) for one in norms]
    for one in norms:
        one.momentum = 0.0
        if one.num_batches_tracked is not None:
            one.num_batches_tracked = one.num_batches_tracked.clone()
    try:
        yield
    finally:
        for one, (momentum, count) in zip(norms, before):
            one.momentum, one.num_batches_tracked = momentum, count
