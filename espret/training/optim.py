"""Optimisers and learning-rate schedules by name. Ranger is in ranger.py.

Adam's steps are fused, one pass over the memory of all parameters: a quarter of the time, on the CPU too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter

from espret.errors import EspretError


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba, 2015)."""

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(list(params), lr, betas, eps, weight_decay, fused=True)


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), of matrices and kernels only."""

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        every = list(params)
        groups: list[dict[str, Any]] = [
            {"params": [one for one in every if one.ndim > 1]},
            {"params": [one for one in every if one.ndim <= 1], "weight_decay": 0.0},
        ]
        super().__init__([group for group in groups if group["params"]], lr, betas, eps, weight_decay, fused=True)


class SGD(torch.optim.SGD):
    """Stochastic gradient descent with momentum."""

    def __init__(
        self, params: Iterable[Parameter], lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(params), lr, momentum, weight_decay=weight_decay)


class Constant:
    """The optimiser's learning rate throughout, after `warmup` epochs of linear rise."""

    def __init__(self, warmup: float = 0.0) -> None:
        self.warmup = warmup

    def factor(self, epoch: float, epochs: int) -> float:
        """What the learning rate is multiplied by in the step that ends `epoch` epochs (a fraction counts steps) after
        the beginning of `epochs`."""
        return min(1.0, epoch / self.warmup) if self.warmup else 1.0


class Step(Constant):
    """Multiplied by `gamma` every `every` epochs. The last step of an epoch, which ends where the next one begins,
    belongs to its epoch, as with torch's StepLR."""

    def __init__(self, every: int, gamma: float = 0.1, warmup: float = 0.0) -> None:
        if every < 1:
            raise EspretError(f"train.schedule: every: expected 1 epoch or more, found {every}")
        super().__init__(warmup)
        self.every = every
        self.gamma = gamma

    def factor(self, epoch: float, epochs: int) -> float:
        """See Constant."""
        whole = max(math.ceil(epoch) - 1, 0)  # epochs before the one that the step is in
        return super().factor(epoch, epochs) * self.gamma ** (whole // self.every)


class Cosine(Constant):
    """From 1 to `final` along half a cosine between the end of the warm-up and epoch `until` (0: the last)."""

    def __init__(self, final: float = 0.0, until: float = 0.0, warmup: float = 0.0) -> None:
        super().__init__(warmup)
        self.final = final
        self.until = until

    def factor(self, epoch: float, epochs: int) -> float:
        """See Constant."""
        if epoch < self.warmup:
            return super().factor(epoch, epochs)
        share = min(1.0, (epoch - self.warmup) / max((self.until or epochs) - self.warmup, 1e-9))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))


class InverseSqrt(Constant):
    """Linear rise over `warmup` epochs, then down with the inverse square root (Vaswani et al., 2017): the optimiser's
    learning rate is the peak, at the end of the warm-up."""

    def __init__(self, warmup: float) -> None:
        if warmup <= 0:
            raise EspretError(f"train.schedule: warmup: expected more than 0 epochs, found {warmup}")
        super().__init__(warmup)

    def factor(self, epoch: float, epochs: int) -> float:
        """See Constant."""
        return super().factor(epoch, epochs) * math.sqrt(min(1.0, self.warmup / epoch)) if epoch else 0.0
