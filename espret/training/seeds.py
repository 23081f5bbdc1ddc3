"""What makes a run repeatable: generators seeded at each step, so that none need be saved, and algorithms that add up
in the same order every time.
"""

from __future__ import annotations

import os
import random
from typing import NamedTuple

import numpy as np
import torch


def only_deterministic() -> None:
    """From now on torch uses algorithms that give the same bits every time, and refuses what has none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when a GPU multiplies for the first time
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory costs time and only serves to find bugs.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


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
