"""Ranger: rectified Adam with Lookahead. The other optimisers, and the schedules of the learning rate: optim.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from espret.errors import EspretError


class Ranger(torch.optim.RAdam):
    """RAdam (Liu et al., 2020) whose weights are drawn back, at every `k`-th step of a parameter, to slow weights that
    follow them by the share `alpha` (Lookahead, Zhang et al., 2019). Weight decay is decoupled and of all parameters.

    The defaults are those of Ranger 9.3.19 (L. Wright), with which audio-retrieval (Oncescu et al., 2021) was trained.
    torch's RAdam takes the same steps as that Ranger does between Lookaheads: plain momentum while the variance's
    length of memory is 5 or less, which is five steps for the default betas, and `eps` outside the square root.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        k: int = 6,
        alpha: float = 0.5,
    ) -> None:
        if k < 1 or not 0 <= alpha <= 1:
            raise EspretError(f"ranger: expected k of 1 or more and alpha from 0 to 1, found k {k} and alpha {alpha}")
        # With foreach, the many small parameters of a network cost one call for each operation, on the CPU too.
        super().__init__(list(params), lr, betas, eps, weight_decay, decoupled_weight_decay=True, foreach=True)
        self.k = k
        self.alpha = alpha

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the parameters that have a gradient; the loss that `closure` gives."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving: list[Tensor] = [one for group in self.param_groups for one in group["params"] if one.grad is not None]
        # Slow weights begin as the weights before a parameter's first step; RAdam wants its state empty until then.
        begun = {one: one.detach().clone() for one in moving if one not in self.state}
        super().step()
        for one, slow in begun.items():
            self.state[one]["slow"] = slow
        self._look_ahead([one for one in moving if int(self.state[one]["step"]) % self.k == 0])
        return loss

    def _look_ahead(self, fast: list[Tensor]) -> None:
        slow = [self.state[one]["slow"] for one in fast]
        if slow:
            torch._foreach_lerp_(slow, fast, self.alpha)
            torch._foreach_copy_(fast, slow)
