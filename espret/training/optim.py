"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter


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
        super().__init__(list(params), lr, betas, eps, weight_decay)


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
        super().__init__([group for group in groups if group["params"]], lr, betas, eps, weight_decay)


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
        """What the learning rate is multiplied by after `epoch` (a fraction counts steps) of `epochs`."""
        return min(1.0, epoch / self.warmup) if self.warmup else 1.0


class Step(Constant):
    """Multiplied by `gamma` every `every` epochs."""

    def __init__(self, every: int, gamma: float = 0.1, warmup: float = 0.0) -> None:
        super().__init__(warmup)
        self.every = every
        self.gamma = gamma

    def factor(self, epoch: float, epochs: int) -> float:
        """See Constant."""
        return super().factor(epoch, epochs) * self.gamma ** (math.floor(epoch) // self.every)


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
