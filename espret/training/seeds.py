"""Random numbers of a run: Python's, NumPy's and torch's generators are seeded at each step, so none need be saved."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import torch


class Seeds(NamedTuple):
    """Where in a run random numbers are drawn; epoch 0 is before the first."""

    seed: int
    epoch: int = 0
    process: int = 0
    step: int = 0

    def plant(self) -> None:
        """Seed the generators for this step."""
        _plant([*self])

    def part(self, number: int) -> None:
        """Seed the generators for one part of this step's batch."""
        _plant([*self, number])


def _plant(entropy: list[int]) -> None:
    state = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)
