"""What the loop is told about a task: how a network is validated. Networks and batches are the same for both."""

from __future__ import annotations

import math
from typing import Any

import torch

from espret.decoding.embed import embed
from espret.scoring.retrieval import rank_metrics
from espret.training.data import Split, cut, epoch_items, read


class Retrieval:
    """Validation by loss and by ranks among all clips of the split, each clip with all its captions."""

    def validate(self, network: Any, split: Split, batch_size: int, device: torch.device) -> dict[str, float]:
        """`loss`, and in percent `t2a/R@1`, `t2a/R@10`, `t2a/mAP@10` as stage 5 has them."""
        metrics = mean_stats(network, split, batch_size, device)
        if not math.isfinite(metrics["loss"]):
            return metrics  # nothing to rank; the loop refuses it, naming the epoch
        sim = embed(network, split, batch_size, device).sim.numpy()
        ranked = rank_metrics(sim, split.owner, split.captions, split.utts).metrics
        return metrics | {name: ranked[name] for name in ("t2a/R@1", "t2a/R@10", "t2a/mAP@10")}


class Captioning:
    """Validation by the loss a token and the share of tokens predicted (both with the true words before)."""

    def validate(self, network: Any, split: Split, batch_size: int, device: torch.device) -> dict[str, float]:
        """`loss` (nats a token) and `accuracy` (percent of tokens)."""
        return mean_stats(network, split, batch_size, device)


@torch.no_grad()
def mean_stats(network: Any, split: Split, batch_size: int, device: torch.device) -> dict[str, float]:
    """Mean of the stats of `network.loss` over the split, weighted by what each batch's mean is over.

    For the loss of a token that is the number of tokens; contrastive losses have no such unit, and their batches are
    of near-equal size.
    """
    network.eval()
    totals: dict[str, float] = {}
    weight = 0
    items = epoch_items(split, "group", 0, 0)
    for batch in read(split, cut(items, batch_size)):
        stats = network.loss(batch.to(device))[1]
        size = int((batch.tokens[:, 1:] > 0).sum())
        weight += size
        for name, value in stats.items():
            totals[name] = totals.get(name, 0.0) + float(value) * size
    return {name: value / weight for name, value in totals.items()}
