"""Splitting a list of utterances over the tasks of an array job, in near-equal contiguous chunks. Nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from espret.errors import EspretError

T = TypeVar("T")


def parse_shard(spec: str) -> tuple[int, int]:
    """`"J/N"` as (J, N), with 1 <= J <= N. Raises EspretError otherwise."""
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", spec)
    j, n = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= j <= n:
        raise EspretError(f"--shard {spec}: expected J/N with 1 <= J <= N, such as 2/4")
    return j, n


def shard(items: Sequence[T], spec: str) -> list[T]:
    """Chunk J of `items` for `spec` "J/N": sizes differ by at most one, the chunks in order make up `items`.

    With N larger than the number of items some chunks are empty.
    """
    j, n = parse_shard(spec)
    return list(items[len(items) * (j - 1) // n : len(items) * j // n])
